// An API through which a model can be asked: its routes, the fields of its requests, what they mean
// in the one canonical form, how replies are framed and what errors look like. Everything between
// is the same for all (http_generate.cc): limits, models, prompts, queues, streams, metrics, the
// log.
#pragma once
#include <cstdint>
#include <functional>
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
#include "serve/remote_models.h"
#include "serve/reply_format.h"

namespace tutti {

class ResponseStore;

/// A prompt without a chat: text, or token ids.
using TextPrompt = std::variant<std::string, std::vector<int32_t>>;

/// What is asked for, whatever API asked.
struct CanonicalRequest {
  GenerationRequest generation;     ///< everything but the prompt
  ChatInput chat;                   ///< if there are no `prompts`
  OutputWish wish;                  ///< what the output must be
  std::vector<TextPrompt> prompts;  ///< each becomes a generation of generation.n choices
  bool stream = false;
  std::optional<double> timeout_seconds;
  std::string length_field = "max_tokens";  ///< as the client calls it, for errors
  std::optional<std::string> at_once;       ///< JSON that is the answer; nothing is generated

  // What the reply shows besides.
  bool include_usage = false;  ///< a stream's last event counts tokens
  bool logprobs = false;
  bool prompt_logprobs = false;
  bool token_ids = false;
  /// Of a prompt only the last so many tokens count; -1: as many as leave room for the answer.
  std::optional<int64_t> keep_prompt_tokens;
  std::shared_ptr<const JsonObject> repeated;  ///< what the dialect's format says of the request
  /// Gets the whole reply, before its client has its end.
  std::function<void(const Json&)> keep;
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
  bool token_ids = false;
  std::vector<std::vector<int32_t>> prompts;  ///< their ids, if `token_ids`
  int64_t prompt_tokens = 0;                  ///< of all prompts
  std::optional<int64_t> max_tokens;          ///< that were asked for
  std::string request_id;
  std::shared_ptr<const JsonObject> repeated;  ///< CanonicalRequest::repeated
  std::function<void(const Json&)> keep;       ///< the same
};

struct ParseInput {
  const LanguageModel& model;  ///< its defaults hold for what the request leaves open
  uint64_t random_seed;        ///< used if it names no seed
  const RequestLimits& limits;
  std::shared_ptr<ResponseStore> responses;  ///< nullptr: none are kept
  std::string owner;                         ///< whose request it is: KeyRing::Pass::owner
};

struct DialectRoute {
  const char* path;       ///< takes POST with a JSON body
  const char* id_prefix;  ///< of the ids of replies: "chatcmpl", "msg_"; nullptr: answers at once
  const char* what;       ///< in a few words
};

/// A route that takes GET and tells of the server.
struct DialectPage {
  const char* path;
  const char* what;
};

/// What pages tell.
struct ServerFacts {
  std::vector<ModelCard> models;
  std::string version;  ///< of the program
};

/// No state, thread-safe. A new one is a folder beside openai/ and a line in dialects.cc.
class Dialect {
 public:
  virtual ~Dialect() = default;

  virtual std::span<const DialectRoute> routes() const = 0;

  virtual std::span<const DialectPage> pages() const { return {}; }

  virtual Json page(int /*number*/, const ServerFacts& /*facts*/) const { return {}; }

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
  virtual std::string error_body(const ApiError& error, std::string_view request_id) const = 0;

  /// Its HTTP status.
  virtual int error_status(const ApiError& error) const { return error.http_status; }

  /// Its clients send JSON that is not called so. Taken from programs alone: of a browser's page
  /// the type is what keeps other sites out.
  virtual bool takes_any_type() const { return false; }

  /// Where its clients look for the id of a request, besides x-request-id; nullptr: nowhere else.
  virtual const char* request_id_header() const { return nullptr; }
};

/// Every dialect that is served.
std::span<const Dialect* const> dialects();

/// As `dialect` writes it; nullptr: on a route of none.
HttpResponse error_response(const ApiError& error,
                            const Dialect* dialect,
                            std::string_view request_id);

}  // namespace tutti
