#include "serve/http_api.h"

#include <algorithm>
#include <chrono>
#include <exception>

#include "base/json.h"
#include "base/log.h"
#include "serve/api_request.h"
#include "serve/http_head.h"
#include "serve/random_id.h"

namespace tutti {

namespace {

// Probes of orchestrators carry no key; everything else needs it.
constexpr Route kRoutes[] = {
    {RouteId::kChat, "POST", "/v1/chat/completions", true, false},
    {RouteId::kCompletions, "POST", "/v1/completions", true, false},
    {RouteId::kModels, "GET", "/v1/models", true, false},
    {RouteId::kModel, "GET", "/v1/models/", true, false},
    {RouteId::kLive, "GET", "/health", false, true},
    {RouteId::kLive, "GET", "/health/live", false, true},
    {RouteId::kReady, "GET", "/health/ready", false, true},
    {RouteId::kReady, "GET", "/ready", false, true},
    // Where load balancers and orchestrators look if nobody tells them where.
    {RouteId::kReady, "GET", "/", false, true},
    {RouteId::kReady, "GET", "/ping", false, true},
    {RouteId::kReady, "GET", "/readyz", false, true},
    {RouteId::kLive, "GET", "/healthz", false, true},
    {RouteId::kLive, "GET", "/livez", false, true},
    {RouteId::kMetrics, "GET", "/metrics", true, true},
};

RouteMatch match_route(std::string_view path) {
  for (const Route& route : kRoutes) {
    const std::string_view pattern = route.path;
    const bool takes_name = route.takes_name();
    if (!takes_name && path == pattern) {
      return {.route = &route, .name = {}};
    }
    if (takes_name && path.starts_with(pattern) && path.size() > pattern.size()) {
      auto name = percent_decode(path.substr(pattern.size()));
      if (name) {
        return {.route = &route, .name = *std::move(name)};
      }
    }
  }
  return {};
}

// Of a server bound to loopback. A page whose name was pointed at 127.0.0.1 (DNS rebinding) is told
// by its name in Host, which browsers always send. Proxies on this machine name us as they like
// when they ask for our health, which is no secret.
bool known_host(const HttpHead& head, const RouteMatch& match) {
  const bool health = match.route != nullptr && match.route->health();
  return head.host.empty() || is_loopback_host(head.host) || (health && is_local_name(head.host));
}

bool is_json(const HttpHead& head) {
  const std::string* type = head.find("content-type");
  if (type == nullptr || head.count("content-type") != 1) {
    return false;
  }
  std::string essence = type->substr(0, type->find(';'));
  while (!essence.empty() && (essence.back() == ' ' || essence.back() == '\t')) {
    essence.pop_back();
  }
  for (char& c : essence) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return essence == "application/json";
}

HttpResponse method_error(const Route& route) {
  const bool get = std::string_view(route.method) == "GET";
  const char* allowed = route.health() ? "GET, HEAD, OPTIONS" : get ? "GET, HEAD" : "POST";
  HttpResponse response =
      error_response(http_error(405, fmt::format("this route takes {}", allowed)));
  response.headers.push_back({"Allow", allowed});
  return response;
}

std::string model_json(const ModelInfo& info) {
  std::string out = R"({"id":)";
  append_json_string(out, info.id);
  out += fmt::format(R"(,"object":"model","created":{},"owned_by":"tutti","max_model_len":{}}})",
                     info.created_unix,
                     info.max_context);
  return out;
}

int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

struct Deadlines {
  std::chrono::steady_clock::time_point whole;
  std::chrono::steady_clock::time_point queue;
};

// A client may want less time than the server gives, not more.
Deadlines deadlines_of(const ApiRequest& request,
                       const HttpLimits& limits,
                       std::chrono::steady_clock::time_point begun) {
  const auto asked = std::chrono::duration<double>(
      std::min(request.timeout_seconds.value_or(1e9),
               std::chrono::duration<double>(limits.request_timeout).count()));
  return {.whole = begun + std::chrono::duration_cast<std::chrono::microseconds>(asked),
          .queue = begun + limits.queue_timeout};
}

/// Fills prompts[i] with token ids. `out` gets the flags that go with a chat.
Result<std::vector<std::vector<int32_t>>> build_prompts(ApiRoute route,
                                                        ApiRequest& request,
                                                        PromptBuilder& prompts) {
  std::vector<std::vector<int32_t>> ids;
  if (route == ApiRoute::kChat) {
    const Json* tools = request.tools.is_null() ? nullptr : &request.tools;
    TUTTI_TRY(PreparedChat chat, prompts.chat(request.messages, tools, request.template_kwargs));
    request.generation.keep_tool_marks = chat.tool_calls != nullptr;
    request.tool_calls = chat.tool_calls;
    request.generation.split_reasoning = chat.split_reasoning;
    request.generation.reasoning_open = chat.reasoning_open;
    request.generation.reasoning_closed = chat.reasoning_closed;
    ids.push_back(std::move(chat.ids));
    return ids;
  }
  for (CompletionPrompt& prompt : request.prompts) {
    if (auto* given = std::get_if<std::vector<int32_t>>(&prompt)) {
      ids.push_back(std::move(*given));
      continue;
    }
    TUTTI_TRY(std::vector<int32_t> made, prompts.completion(std::get<std::string>(prompt)));
    if (made.empty()) {
      return invalid("prompt: the text has no tokens; send at least one character")
          .with_param("prompt");
    }
    ids.push_back(std::move(made));
  }
  return ids;
}

/// Whether what the reply says about its prompts stays within bounds.
Status check_prompt_parts(const ApiRequest& request,
                          const std::vector<std::vector<int32_t>>& prompts,
                          const RequestLimits& limits,
                          int64_t buffer_bytes) {
  const GenerationRequest& generation = request.generation;
  int64_t tokens = 0;
  for (const std::vector<int32_t>& prompt : prompts) {
    tokens += static_cast<int64_t>(prompt.size()) * generation.n;
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

}  // namespace

std::span<const Route> route_table() {
  return kRoutes;
}

std::variant<RouteMatch, HttpResponse> HttpApi::admit(const HttpHead& head) const {
  RouteMatch match = match_route(head.path);
  if (config_.check_host && !known_host(head, match)) {
    return error_response(http_error(
        403,
        fmt::format("Host: got \"{}\", wanted localhost, 127.0.0.1 or [::1], since this server is "
                    "bound to loopback; have a proxy send Host: localhost",
                    head.host)));
  }
  // Before the key, which no preflight carries.
  if (auto preflight = config_.cors.preflight(head)) {
    return *std::move(preflight);
  }
  // The key comes before the route, so that without it nothing can be learned about routes.
  if (match.route == nullptr || match.route->needs_key) {
    if (auto error = config_.key.check(head)) {
      return error_response(*error);
    }
  }
  if (match.route == nullptr) {
    return error_response(http_error(404, "no such route; see GET /v1/models for what is served"));
  }
  if (head.method == "OPTIONS" && match.route->health()) {
    return options_of_health(match);
  }
  const bool get = std::string_view(match.route->method) == "GET";
  if (!get && draining_) {
    return error_response(to_api_error(shutting_down()));
  }
  if (head.method != match.route->method && !(get && head.method == "HEAD")) {
    return method_error(*match.route);
  }
  const std::string* encoding = head.find("content-encoding");
  if (encoding != nullptr && *encoding != "identity") {
    return error_response(http_error(415, "compressed request bodies are not accepted"));
  }
  if (!get && !is_json(head)) {
    return error_response(
        http_error(415, "the body must be sent as Content-Type: application/json"));
  }
  const int64_t limit = body_limit(match);
  if (head.content_length.value_or(0) > limit) {
    return error_response(http_error(413, fmt::format("request body over {} bytes", limit)));
  }
  return match;
}

// The default check of HAProxy and others is OPTIONS: they look at the status alone.
HttpResponse HttpApi::options_of_health(const RouteMatch& match) const {
  HttpResponse response = get(match);
  if (response.status == 200) {
    response = HttpResponse();
    response.status = 204;
  }
  response.headers.push_back({"Allow", "GET, HEAD, OPTIONS"});
  return response;
}

int64_t HttpApi::body_limit(const RouteMatch& match) const {
  return std::string_view(match.route->method) == "POST" ? config_.limits.body_bytes
                                                         : config_.limits.ignored_body_bytes;
}

HttpResponse HttpApi::get(const RouteMatch& match) const {
  switch (match.route->id) {
    case RouteId::kModels:
      return list_models();
    case RouteId::kModel:
      return show_model(match.name);
    case RouteId::kLive:
      return live();
    case RouteId::kReady:
      return ready();
    case RouteId::kMetrics: {
      HttpResponse response;
      response.content_type = "text/plain; version=0.0.4; charset=utf-8";
      response.body = metrics_.render(*models_);
      return response;
    }
    case RouteId::kChat:
    case RouteId::kCompletions:
      break;
  }
  return error_response(http_error(500, "no handler for this route"));
}

HttpResponse HttpApi::list_models() const {
  std::string body = R"({"object":"list","data":[)";
  bool first = true;
  for (const ServedModel& served : models_->all()) {
    body += (first ? "" : ",") + model_json(served.model->info());
    first = false;
  }
  return json_response(body + "]}");
}

HttpResponse HttpApi::show_model(const std::string& id) const {
  const Result<ServedModel> served = models_->find(id);
  if (!served.ok()) {
    return error_response(to_api_error(served.status()));
  }
  return json_response(model_json(served->model->info()));
}

HttpResponse HttpApi::live() const {
  const Status status = models_->live();
  return status.ok() ? json_response(R"({"status":"ok"})") : error_response(to_api_error(status));
}

HttpResponse HttpApi::ready() const {
  const Status status = draining_ ? shutting_down() : models_->ready();
  if (status.ok()) {
    return json_response(R"({"status":"ready"})");
  }
  return error_response(to_api_error(Status(StatusCode::kUnavailable, status.message())));
}

Reply HttpApi::post(const RouteMatch& match, std::string_view body, const ReplyContext& context) {
  if (std::chrono::steady_clock::now() >= context.begun + config_.limits.queue_timeout) {
    return error_response(to_api_error(
        Status(StatusCode::kUnavailable, "the request waited too long to be prepared; try again")));
  }
  // The boundary where somebody else's exception becomes one failed request, not a dead server.
  try {
    auto reply = generate(match.route->id, body, context);
    if (!reply.ok()) {
      return error_response(to_api_error(reply.status()));
    }
    return std::move(reply).value();
  } catch (const std::exception& e) {
    log_error("request {}: {}", context.request_id, e.what());
  } catch (...) {
    log_error("request {}: unknown exception", context.request_id);
  }
  return error_response(http_error(
      500, fmt::format("internal error; the server's log has it under {}", context.request_id)));
}

Result<std::unique_ptr<GenerationReply>> HttpApi::generate(RouteId route_id,
                                                           std::string_view text,
                                                           const ReplyContext& context) {
  const ApiRoute route = route_id == RouteId::kChat ? ApiRoute::kChat : ApiRoute::kCompletions;
  const JsonLimits json_limits{.max_depth = config_.limits.json_depth,
                               .max_bytes = config_.limits.body_bytes,
                               .max_values = config_.limits.json_values,
                               .max_keys = config_.limits.json_keys,
                               .max_number_chars = config_.limits.json_number_chars};
  if (text.starts_with("\xef\xbb\xbf")) {
    return invalid("the request body begins with a byte order mark; JSON has none");
  }
  TUTTI_TRY(const Json body, parse_json(text, json_limits));
  if (!body.is_object()) {
    return invalid("the request body is {}, wanted a JSON object", body.type_name());
  }
  int unknown = 0;
  TUTTI_RETURN_IF_ERROR(check_fields(route, body.as_object(), unknown));
  metrics_.unknown_fields += static_cast<uint64_t>(unknown);
  TUTTI_TRY(ServedModel served, models_->find(string_field(body.as_object(), "model")));
  TUTTI_TRY(ApiRequest request,
            parse_api_request(
                route, body.as_object(), *served.model, random_u64(), config_.request_limits));
  TUTTI_TRY(auto prompts, build_prompts(route, request, *served.prompts));
  TUTTI_RETURN_IF_ERROR(check_prompt_parts(
      request, prompts, config_.request_limits, config_.limits.stream_buffer_bytes));
  const Status cancelled(StatusCode::kCancelled, "the client went away");
  if (*context.gone) {
    return Status(cancelled);
  }

  const int32_t n = request.generation.n;
  const auto count = static_cast<int32_t>(prompts.size());
  ReplyEnvelope envelope{.id = random_id(route == ApiRoute::kChat ? "chatcmpl" : "cmpl"),
                         .created_unix = unix_now(),
                         .model = served.model->info().id,
                         .choices = n * count,
                         .include_usage = request.include_usage,
                         .logprobs = request.logprobs,
                         .prompt_logprobs = request.prompt_logprobs,
                         .tool_calls = request.tool_calls,
                         .one_tool_call = request.one_tool_call,
                         .tools = std::move(request.tools)};
  auto inbox = std::make_shared<ReplyInbox>(count, context.waker);
  int64_t prompt_tokens = 0;
  for (const std::vector<int32_t>& prompt : prompts) {
    prompt_tokens += static_cast<int64_t>(prompt.size());
  }
  GenerationWatch::Request watched{.model = envelope.model,
                                   .begun = context.begun,
                                   .generations = count,
                                   .choices = n * count,
                                   .prompt_tokens = prompt_tokens};
  const auto watch =
      std::make_shared<GenerationWatch>(metrics_.model(envelope.model), std::move(watched));
  const Deadlines deadlines = deadlines_of(request, config_.limits, context.begun);
  const GenerationReply::Options options{.stream = request.stream,
                                         .choices = n * count,
                                         .buffer_bytes = config_.limits.stream_buffer_bytes,
                                         .deadline = deadlines.whole};
  auto reply = std::make_unique<GenerationReply>(served.model,
                                                 inbox,
                                                 watch,
                                                 route == ApiRoute::kChat
                                                     ? make_chat_format(std::move(envelope))
                                                     : make_completion_format(std::move(envelope)),
                                                 options);
  for (int32_t i = 0; i < count; ++i) {
    GenerationRequest generation = request.generation;
    generation.prompt = std::move(prompts[static_cast<size_t>(i)]);
    if (generation.echo) {
      auto* given = std::get_if<std::string>(&request.prompts[static_cast<size_t>(i)]);
      generation.echo_text = given == nullptr ? std::nullopt : std::optional(std::move(*given));
    }
    generation.request_id = context.request_id;
    generation.deadline = deadlines.whole;
    generation.queue_deadline = deadlines.queue;
    Result<uint64_t> id = served.model->generate(
        std::move(generation), make_sink(inbox, watch, {.first = i * n, .count = n}));
    if (!id.ok()) {
      return in_client_words(std::move(id).status(), request.length_field);
    }
    reply->add_generation(*id);
  }
  return reply;
}

}  // namespace tutti
