// OpenAI's Responses API: items in, items out; what was answered can be kept and gone on with.
#pragma once
#include <memory>
#include <string>

#include "serve/dialect.h"

namespace tutti {

const Dialect& responses_dialect();

/// The chat that a list of items says, oldest first, in OpenAI's chat form. `path` names the list
/// in errors.
class ItemChat {
 public:
  Status add(const Json& item, const std::string& path);

  /// A message of the developer's, before all others.
  void begin_with(std::string instructions);

  JsonArray take() { return std::move(messages_); }

 private:
  Status add_message(const Json& item, const std::string& path);
  Status add_call(const Json& item, const std::string& path);
  Status add_reasoning(const Json& item, const std::string& path);
  Json& assistant();

  JsonArray messages_;
  std::string reasoning_;  // of the assistant's next message
};

std::unique_ptr<ReplyFormat> make_responses_format(ReplyEnvelope envelope);

}  // namespace tutti
