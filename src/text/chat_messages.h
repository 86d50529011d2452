// OpenAI messages as template variables: part lists become text unless the template reads parts
// itself, tool call arguments become mappings that read as their JSON text, a null content is none
// that reads as "".
#pragma once
#include <deque>
#include <string>

#include "base/json.h"
#include "base/status.h"
#include "jinja/value.h"

namespace tutti {

/// Builds the value of `messages`. Borrows from `messages` and from this object: both must outlive
/// the value.
class ChatMessages {
 public:
  enum class Parts {
    kJoin,  ///< a part list becomes one text, its parts joined by line ends
    kKeep,  ///< the template goes through part lists itself
  };

  ChatMessages(jinja::Budget& budget, Parts parts) : budget_(budget), parts_(parts) {}

  Result<jinja::Value> prepare(const Json& messages);

 private:
  Result<jinja::Value> message(const Json& json, const std::string& path);
  Result<jinja::Value> content(const Json& json, const std::string& path);
  Result<jinja::Value> tool_calls(const Json& json, const std::string& path);
  Result<jinja::Value> tool_call(const Json& json, const std::string& path);
  Result<jinja::Value> function(const Json& json, const std::string& path);
  Result<jinja::Value> arguments(const Json& json, const std::string& path);
  jinja::Value key(const std::string& name) const;

  jinja::Budget& budget_;
  Parts parts_;
  std::deque<std::string> texts_;
  std::deque<Json> parsed_;
};

}  // namespace tutti
