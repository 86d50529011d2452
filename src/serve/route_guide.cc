#include "serve/route_guide.h"

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "base/nearest_word.h"
#include "serve/dialect.h"
#include "serve/http_api.h"

namespace tutti {

namespace {

constexpr size_t kShownPath = 200;

constexpr const char* kChat = "POST /v1/chat/completions";
constexpr const char* kText = "POST /v1/completions";
constexpr const char* kModels = "GET /v1/models";
constexpr const char* kFiles =
    "models are files of this server's machine: tutti serve MODEL serves one, hf download gets it";
constexpr const char* kVectors = "no model here makes embeddings, scores or ranks";
constexpr const char* kNone = "there is nothing like it here";

constexpr auto kForeign = std::to_array<ForeignPath>({
    // clang-format off
    {"/api/v0/models", "LM Studio", kModels},
    {"/api/v0/*", "LM Studio", kChat},
    {"/api/pull /api/create /api/push /api/copy /api/delete /api/blobs/*", "Ollama", kFiles},
    {"/api/embed /api/embeddings", "Ollama", kVectors},
    {"/api/*", "Ollama", kChat},
    {"/v1/messages/*", "Anthropic", "POST /v1/messages"},
    {"/v1/complete", "Anthropic", "POST /v1/messages"},
    {"/v1beta/* /v1beta1/*", "Gemini", kChat},
    {"/v1/assistants* /v1/threads* /v1/conversations*", "OpenAI", kChat},
    {"/openai/deployments/*", "Azure", kChat},
    {"/v1/engines/*", "OpenAI (of old)", kText},
    {"/v1/embeddings /v1/rerank /v2/rerank /rerank /v1/score /score /v1/pooling /pooling /v1/classify /classify /embedding /embeddings /embed /v1/convert_ids_to_tokens", "OpenAI, vLLM, Xinference", kVectors},
    {"/v1/audio/* /v1/images/* /v1/video/* /v1/moderations /v1/files* /v1/batches* /v1/fine_tuning/* /v1/uploads* /v1/vector_stores* /v1/realtime*", "OpenAI", "this server makes text alone"},
    {"/generate /generate_stream /completion /infill /invocations", "TGI, SGLang, llama.cpp", kText},
    {"/info /props /slots* /get_model_info /model_info /get_server_info /server_info /server_version", "TGI, SGLang, llama.cpp", kModels},
    {"/v1/tokenize", "vLLM", "POST /tokenize"},
    {"/v1/detokenize", "vLLM", "POST /detokenize"},
    {"/apply-template", "llama.cpp", "POST /tokenize"},
    {"/v1/load_lora_adapter /v1/unload_lora_adapter /lora-adapters", "vLLM, llama.cpp", "adapters are not supported"},
    {"/flush_cache /reset_prefix_cache /sleep /wake_up /is_sleeping", "SGLang, vLLM", kNone},
    {"/v1/model_registrations* /v1/cluster/* /v1/ui/* /v1/launch_worker_model /v1/cached/*", "Xinference", kFiles},
    {"/health_generate /get_health", "SGLang", "GET /health/ready"},
    {"/redoc /swagger /swagger-ui* /docs/*", "FastAPI", "GET /docs"},
    {"/swagger.json", "FastAPI", "GET /openapi.json"},
    // clang-format on
});

bool matches(std::string_view pattern, std::string_view path) {
  return pattern.ends_with('*') ? path.starts_with(pattern.substr(0, pattern.size() - 1))
                                : path == pattern;
}

const ForeignPath* find_foreign(std::string_view path) {
  for (const ForeignPath& row : kForeign) {
    std::string_view rest = row.paths;
    while (!rest.empty()) {
      const size_t space = std::min(rest.find(' '), rest.size());
      if (matches(rest.substr(0, space), path)) {
        return &row;
      }
      rest.remove_prefix(std::min(space + 1, rest.size()));
    }
  }
  return nullptr;
}

// In small letters, with single slashes and none at the end.
std::string normal(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c != '/' || out.empty() || out.back() != '/') {
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  if (out.size() > 1 && out.back() == '/') {
    out.pop_back();
  }
  return out;
}

std::string in_words(const Route& route) {
  return fmt::format("{} {}", route.method, route.pattern());
}

const Route* route_of(std::string_view path) {
  for (const Route& route : route_table()) {
    if (!route.takes_name() && path == route.path && path != "/") {
      return &route;
    }
  }
  return nullptr;
}

// The route that a slip in the base URL makes this path of, and how to avoid it.
std::string slip_of_base(const std::string& path) {
  constexpr std::string_view kBase = "/v1";
  if (path == kBase) {
    return "that is the base URL for clients; they add a route to it";
  }
  if (const Route* route = route_of(path)) {
    return fmt::format(
        "did you mean {}? Paths have single slashes, none at the end, and small "
        "letters",
        in_words(*route));
  }
  if (const Route* route = route_of(std::string(kBase) + path)) {
    return fmt::format("did you mean {}? The base URL for clients ends with /v1", in_words(*route));
  }
  for (const Route& route : route_table()) {
    const std::string_view known = route.path;
    if (known.starts_with(kBase) && !route.takes_name() && path.ends_with(known)) {
      return fmt::format(
          "did you mean {}? The base URL for clients is http://HOST:PORT/v1, with "
          "nothing between",
          in_words(route));
    }
  }
  return {};
}

// "/v1/chat" of "/v1/chat/completions"; "" of shorter paths.
std::string two_segments(const std::string& path) {
  const size_t second = path.find('/', 1);
  return second == std::string::npos ? "" : path.substr(0, path.find('/', second + 1));
}

std::string nearest_route(const std::string& path) {
  std::vector<std::string> known;
  for (const Route& route : route_table()) {
    if (!route.takes_name() && std::string_view(route.path) != "/") {
      known.emplace_back(route.path);
    }
  }
  std::vector<std::string> close = nearest_words(path, known);
  if (close.empty()) {  // "/v1/chat", "/v1/chat/complete"
    const std::string begin = two_segments(path);
    std::copy_if(known.begin(), known.end(), std::back_inserter(close), [&](const auto& route) {
      return !begin.empty() && two_segments(route) == begin;
    });
  }
  return close.empty() ? "" : fmt::format("did you mean {}?", in_words(*route_of(close[0])));
}

std::string hint_of(std::string_view path) {
  const std::string plain = normal(path.substr(0, kShownPath));
  if (std::string slip = slip_of_base(plain); !slip.empty()) {
    return slip;
  }
  if (const ForeignPath* foreign = find_foreign(plain)) {
    return fmt::format("that is of {}'s API; here: {}", foreign->of, foreign->advice);
  }
  return nearest_route(plain);
}

}  // namespace

std::span<const ForeignPath> foreign_paths() {
  return kForeign;
}

std::string routes_in_words() {
  std::string out;
  std::set<std::pair<RouteId, const Dialect*>> named;
  for (const Route& route : route_table()) {
    const bool first = named.insert({route.id, route.dialect}).second;
    if (first || route.dialect == route_table().front().dialect) {
      out += (out.empty() ? "" : ", ") + in_words(route);
    }
  }
  return out;
}

std::string no_such_route(std::string_view method, std::string_view path) {
  const std::string hint = hint_of(path);
  return fmt::format("{} {}{}: no such route{}{}{} This server has {}",
                     method,
                     path.substr(0, kShownPath),
                     path.size() > kShownPath ? "…" : "",
                     hint.empty() ? "" : "; ",
                     hint,
                     hint.ends_with('?') ? "" : ".",
                     routes_in_words());
}

std::string wrong_method(std::string_view method, const Route& route, std::string_view allowed) {
  const char* why = "";
  if (route.id == RouteId::kModels || route.id == RouteId::kModel) {
    // As Xinference starts and ends models.
    why = method == "POST"     ? "; a model is chosen at start: tutti serve MODEL"
          : method == "DELETE" ? "; a model is served until the server ends: Ctrl-C, or kill"
                               : "";
  } else if (route.id == RouteId::kGenerate && method == "GET") {
    why = " with a JSON body; a browser's address line sends GET";
  }
  return fmt::format("{} {}: this route takes {}{}", method, route.path, allowed, why);
}

}  // namespace tutti
