// An API through which a model can be asked: its routes, the fields of its requests, what they mean
// in the one canonical form, how replies are framed and what errors look like. Everything between
// is the same for all (http_generate.cc): limits, models, prompts, queues, streams, metrics, the
// log.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/language_model.h"
#include "serve/field_rules.h"
#include "serve/http_limits.h"
#include "serve/http_message.h"
#include "serve/reply_format.h"

namespace tutti {

/// A prompt without a chat: text, or token ids.
using TextPrompt = std::variant<std::string, std::vector<int32_t>>;

/// What is asked for, whatever API asked.
struct CanonicalRequest {
  GenerationRequest generation;     ///< everything but the prompt
  ChatInput chat;                   ///< if there are no `prompts`
  std::vector<TextPrompt> prompts;  ///< each becomes a generation of generation.n choices
  bool stream = false;
  std::optional<double> timeout_seconds;
  std::string length_field = "max_tokens";  ///< as the client calls it, for errors

  // What the reply shows besides.
  bool include_usage = false;  ///< a stream's last event counts tokens
  bool logprobs = false;
  bool prompt_logprobs = false;
};

/// What a reply says about itself.
struct ReplyEnvelope {
  std::string id;
  int64_t created_unix = 0;
  std::string model;
  int32_t choices = 1;
  bool include_usage = false;
  bool logprobs = false;
  bool prompt_logprobs = false;
};

struct ParseInput {
  const LanguageModel& model;  ///< its defaults hold for what the request leaves open
  uint64_t random_seed;        ///< used if it names no seed
  const RequestLimits& limits;
};

struct DialectRoute {
  const char* path;       ///< takes POST with a JSON body
  const char* id_prefix;  ///< of the ids of replies: "chatcmpl"
};

/// No state, thread-safe. A new one is a folder beside openai/ and a line in dialects.cc.
class Dialect {
 public:
  virtual ~Dialect() = default;

  virtual std::span<const DialectRoute> routes() const = 0;

  /// Of all routes; FieldRule::routes has the bits 1 << (number of the route).
  virtual std::span<const FieldRule> fields() const = 0;

  /// Names that other APIs have for its fields.
  virtual std::span<const FieldAlias> aliases() const { return {}; }

  /// `body` has passed check_fields(). Errors name the field.
  virtual Result<CanonicalRequest> parse(int route,
                                         const JsonObject& body,
                                         const ParseInput& input) const = 0;

  virtual std::unique_ptr<ReplyFormat> format(int route, ReplyEnvelope envelope) const = 0;

  /// The body of an error, before anything was streamed.
  virtual std::string error_body(const ApiError& error) const = 0;
};

/// Every dialect that is served.
std::span<const Dialect* const> dialects();

/// As `dialect` writes it; nullptr: on a route of none.
HttpResponse error_response(const ApiError& error, const Dialect* dialect);

}  // namespace tutti
