// From the body of a generation request to its reply, the same for every dialect.
#include <algorithm>
#include <chrono>

#include "base/json.h"
#include "base/wall_clock.h"
#include "serve/dialect.h"
#include "serve/http_api.h"
#include "serve/random_id.h"

namespace tutti {

namespace {

struct Deadlines {
  std::chrono::steady_clock::time_point whole;
  std::chrono::steady_clock::time_point queue;
};

// A client may want less time than the server gives, not more.
Deadlines deadlines_of(const CanonicalRequest& request,
                       const HttpLimits& limits,
                       std::chrono::steady_clock::time_point begun) {
  const auto asked = std::chrono::duration<double>(
      std::min(request.timeout_seconds.value_or(1e9),
               std::chrono::duration<double>(limits.request_timeout).count()));
  return {.whole = begun + std::chrono::duration_cast<std::chrono::microseconds>(asked),
          .queue = begun + limits.queue_timeout};
}

/// One per generation.
Result<std::vector<Prompt>> make_prompts(CanonicalRequest& request, const LanguageModel& model) {
  std::vector<Prompt> made;
  if (request.prompts.empty()) {
    TUTTI_TRY(Prompt chat, model.prepare(request.chat));
    made.push_back(std::move(chat));
    return made;
  }
  for (TextPrompt& prompt : request.prompts) {
    if (auto* given = std::get_if<std::vector<int32_t>>(&prompt)) {
      made.push_back({.tokens = std::move(*given), .form = {}});
      continue;
    }
    TUTTI_TRY(Prompt text, model.prepare(std::get<std::string>(prompt)));
    if (text.tokens.empty()) {
      return invalid("prompt: the text has no tokens; send at least one character")
          .with_param("prompt");
    }
    made.push_back(std::move(text));
  }
  return made;
}

/// Whether what the reply says about its prompts stays within bounds.
Status check_prompt_parts(const CanonicalRequest& request,
                          const std::vector<Prompt>& prompts,
                          const RequestLimits& limits,
                          int64_t buffer_bytes) {
  const GenerationRequest& generation = request.generation;
  int64_t tokens = 0;
  for (const Prompt& prompt : prompts) {
    tokens += static_cast<int64_t>(prompt.tokens.size()) * generation.n;
  }
  int64_t entries = 0;
  for (const int32_t top : {generation.sampling.prompt_logprobs,
                            generation.echo ? generation.sampling.top_logprobs : -1}) {
    entries += tokens * (top + 1);
  }
  const char* field = request.prompt_logprobs ? "prompt_logprobs" : "echo";
  if (entries > limits.prompt_logprobs) {
    return invalid("{}: {} log-probabilities of prompt tokens, at most {} are sent; ask for fewer",
                   field,
                   entries,
                   limits.prompt_logprobs)
        .with_param(field);
  }
  // A stream's first event holds the prompt; its client must not look too slow because of it.
  constexpr int64_t kTokenBytes = 16;
  constexpr int64_t kEntryBytes = 64;
  const int64_t bytes = tokens * kTokenBytes + entries * kEntryBytes;
  if (request.stream && generation.echo && bytes > buffer_bytes / 2) {
    return invalid("echo: {} prompt tokens are too many for a stream; leave out stream", tokens)
        .with_param("echo");
  }
  return ok_status();
}

/// Leaves of each prompt the end that is wanted.
void cut_prompts(CanonicalRequest& request, int64_t max_context, std::vector<Prompt>& prompts) {
  if (!request.keep_prompt_tokens) {
    return;
  }
  const int64_t room =
      max_context - std::max<int64_t>(1, request.generation.max_tokens.value_or(1));
  const int64_t wanted = *request.keep_prompt_tokens < 0 ? room : *request.keep_prompt_tokens;
  const auto keep = static_cast<size_t>(std::max<int64_t>(1, wanted));
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::vector<int32_t>& tokens = prompts[i].tokens;
    if (tokens.size() > keep) {
      tokens.erase(tokens.begin(), tokens.end() - static_cast<std::ptrdiff_t>(keep));
      if (i < request.prompts.size()) {
        request.prompts[i] = tokens;  // what an echo begins with
      }
    }
  }
}

/// The usual reasons why what was typed into a shell is no JSON.
Status with_hint(const Status& status, std::string_view text) {
  const bool single = text.starts_with("{'") || text.starts_with("['") || text.starts_with("'");
  const char* hint = text.empty() ? "; the body is empty, wanted a JSON object"
                     : single     ? "; JSON has double quotes, and the shell single ones around it"
                                  : "";
  return Status(status.code(), status.message() + hint).with_param(status.param());
}

/// The engine names max_tokens; the client may have called it `length_field`.
Status in_client_words(Status status, const std::string& length_field) {
  constexpr std::string_view kName = "max_tokens";
  if (status.param() != kName || length_field == kName) {
    return status;
  }
  std::string message = status.message();
  if (message.starts_with(kName)) {
    message.replace(0, kName.size(), length_field);
  }
  return Status(status.code(), std::move(message)).with_param(length_field);
}

/// Starts one generation per prompt; all their choices belong to the reply.
class Starter {
 public:
  Starter(CanonicalRequest& request,
          std::vector<Prompt> prompts,
          std::shared_ptr<LanguageModel> model,
          const HttpLimits& limits,
          const ReplyInput& input)
      : request_(request),
        prompts_(std::move(prompts)),
        model_(std::move(model)),
        limits_(limits),
        input_(input),
        deadlines_(deadlines_of(request, limits, input.begun)) {}

  Result<std::unique_ptr<GenerationReply>> start(const Route& route, HttpMetrics& metrics) {
    const int32_t n = request_.generation.n;
    const auto count = static_cast<int32_t>(prompts_.size());
    ReplyEnvelope envelope{.id = random_id(route.dialect_route().id_prefix),
                           .created_unix = unix_now(),
                           .model = model_->info().id,
                           .choices = n * count,
                           .include_usage = request_.include_usage,
                           .logprobs = request_.logprobs,
                           .prompt_logprobs = request_.prompt_logprobs,
                           .token_ids = request_.token_ids,
                           .prompts = prompt_ids(),
                           .prompt_tokens = prompt_tokens(),
                           .max_tokens = request_.generation.max_tokens,
                           .request_id = input_.request_id,
                           .repeated = request_.repeated,
                           .keep = request_.keep};
    auto inbox = std::make_shared<ReplyInbox>(count, input_.waker);
    const auto watch = make_watch(envelope, metrics);
    const GenerationReply::Options options{.stream = request_.stream,
                                           .choices = n * count,
                                           .buffer_bytes = limits_.stream_buffer_bytes,
                                           .deadline = deadlines_.whole};
    auto reply = std::make_unique<GenerationReply>(
        model_, inbox, watch, route.dialect->format(route.number, std::move(envelope)), options);
    for (int32_t i = 0; i < count; ++i) {
      const auto sink =
          make_sink(inbox, watch, {.first = i * n, .count = n, .token_ids = request_.token_ids});
      GenerationRequest one = generation(static_cast<size_t>(i));
      TUTTI_TRY(one.grammar, model_->constrain(request_.wish, one.form, one.stop_token_ids));
      Result<uint64_t> id = model_->generate(std::move(one), sink);
      if (!id.ok()) {
        return in_client_words(std::move(id).status(), request_.length_field);
      }
      reply->add_generation(*id);
    }
    return reply;
  }

 private:
  std::shared_ptr<GenerationWatch> make_watch(const ReplyEnvelope& envelope,
                                              HttpMetrics& metrics) const {
    return std::make_shared<GenerationWatch>(
        metrics.model(envelope.model),
        GenerationWatch::Request{.model = envelope.model,
                                 .begun = input_.begun,
                                 .generations = static_cast<int32_t>(prompts_.size()),
                                 .choices = envelope.choices,
                                 .prompt_tokens = envelope.prompt_tokens});
  }

  // Of each, if they are sent.
  std::vector<std::vector<int32_t>> prompt_ids() const {
    std::vector<std::vector<int32_t>> ids;
    for (const Prompt& prompt : prompts_) {
      if (request_.token_ids) {
        ids.push_back(prompt.tokens);
      }
    }
    return ids;
  }

  int64_t prompt_tokens() const {
    int64_t tokens = 0;
    for (const Prompt& prompt : prompts_) {
      tokens += static_cast<int64_t>(prompt.tokens.size());
    }
    return tokens;
  }

  GenerationRequest generation(size_t i) {
    GenerationRequest one = request_.generation;
    one.begin_with(std::move(prompts_[i]));
    if (one.echo) {
      auto* given = std::get_if<std::string>(&request_.prompts[i]);
      one.echo_text = given == nullptr ? std::nullopt : std::optional(std::move(*given));
    }
    one.whole = !request_.stream;
    one.request_id = input_.request_id;
    one.deadline = deadlines_.whole;
    one.queue_deadline = deadlines_.queue;
    return one;
  }

  CanonicalRequest& request_;
  std::vector<Prompt> prompts_;
  std::shared_ptr<LanguageModel> model_;
  const HttpLimits& limits_;
  const ReplyInput& input_;
  const Deadlines deadlines_;
};

}  // namespace

Result<Reply> HttpApi::generate(const Route& route,
                                std::string_view text,
                                const ReplyInput& input,
                                std::vector<std::string>& warnings) {
  const JsonLimits json_limits{.max_depth = config_.limits.json_depth,
                               .max_bytes = config_.limits.body_bytes,
                               .max_values = config_.limits.json_values,
                               .max_keys = config_.limits.json_keys,
                               .max_number_chars = config_.limits.json_number_chars};
  if (text.starts_with("\xef\xbb\xbf")) {
    return invalid("the request body begins with a byte order mark; JSON has none");
  }
  const Result<Json> parsed = parse_json(text, json_limits);
  if (!parsed.ok()) {
    return with_hint(parsed.status(), text);
  }
  const Json& json = *parsed;
  if (!json.is_object()) {
    return invalid("the request body is {}, wanted a JSON object", json.type_name());
  }
  const JsonObject& body = json.as_object();
  const Dialect& dialect = *route.dialect;
  UnknownFields unknown = unknown_fields(dialect.fields(), dialect.aliases(), route.number, body);
  metrics_.unknown_fields += static_cast<uint64_t>(unknown.count);
  warnings = std::move(unknown.warnings);
  TUTTI_RETURN_IF_ERROR(check_fields(dialect.fields(), route.number, body));
  TUTTI_TRY(const std::shared_ptr<LanguageModel> model, models_->find(string_field(body, "model")));
  TUTTI_TRY(CanonicalRequest request,
            dialect.parse(route.number,
                          body,
                          {.model = *model,
                           .random_seed = random_u64(),
                           .limits = config_.request_limits,
                           .responses = config_.responses,
                           .owner = input.owner}));
  if (request.at_once) {
    return Reply(json_response(*std::move(request.at_once)));
  }
  TUTTI_TRY(std::vector<Prompt> prompts, make_prompts(request, *model));
  for (const std::string& field : prompts.front().unread) {
    warnings.push_back(
        fmt::format("{}: this model's chat template does not read it, so it has no effect",
                    header_text(field.substr(0, 100))));
  }
  cut_prompts(request, model->info().max_context, prompts);
  if (prompts.front().tools_described) {
    warnings.push_back(
        "tools: this model's chat template shows none, so they stand in the system message");
  }
  TUTTI_RETURN_IF_ERROR(check_prompt_parts(
      request, prompts, config_.request_limits, config_.limits.stream_buffer_bytes));
  if (*input.gone) {
    return Status(StatusCode::kCancelled, "the client went away");
  }
  Starter starter(request, std::move(prompts), model, config_.limits, input);
  TUTTI_TRY(std::unique_ptr<GenerationReply> reply, starter.start(route, metrics_));
  return Reply(std::move(reply));
}

}  // namespace tutti
