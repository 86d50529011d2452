// tutti key: API keys of a running server.
#include <algorithm>
#include <cstdio>
#include <string_view>

#include "apps/common.h"
#include "apps/managed_server.h"

namespace tutti {

namespace {

constexpr const char* kKeys = "/v1/admin/keys";

Status list(const KeyOptions& options) {
  TUTTI_TRY(const ManagedServer server, ManagedServer::find(options.server));
  TUTTI_TRY(const Json keys, server.ask("GET", kKeys));
  if (options.server.json) {
    std::printf("%s\n", to_string(keys).c_str());
    return ok_status();
  }
  std::vector<std::vector<std::string>> rows{
      {"NAME", "SCOPES", "REQUESTS/MIN", "TOKENS/MIN", "EXPIRES"}};
  const auto limit = [](const Json& key, const char* field) {
    const std::string text = text_of(key, field);
    return text == "0" ? "-" : text;
  };
  for (const Json& key : keys.is_array() ? keys.as_array() : JsonArray()) {
    rows.push_back({text_of(key, "name"),
                    text_of(key, "scopes"),
                    limit(key, "requests_per_minute"),
                    limit(key, "tokens_per_minute"),
                    text_of(key, "expires")});
  }
  print_table(rows);
  return ok_status();
}

Json new_key(const KeyOptions& options) {
  Json body = Json::object({{"name", options.name},
                            {"requests_per_minute", options.requests_per_minute},
                            {"tokens_per_minute", options.tokens_per_minute},
                            {"expires_in_seconds", options.expires_in}});
  JsonArray scopes;
  for (std::string_view rest = options.scopes; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    scopes.emplace_back(std::string(rest.substr(0, comma)));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  if (!scopes.empty()) {
    body.as_object().append("scopes", std::move(scopes));
  }
  return body;
}

Status change(const KeyOptions& options) {
  TUTTI_TRY(const ManagedServer server, ManagedServer::find(options.server));
  const std::string one = std::string(kKeys) + "/" + path_part(options.name);
  if (options.action == KeyAction::kRemove) {
    TUTTI_TRY(const Json done, server.ask("DELETE", one));
    std::printf("removed %s\n", options.name.c_str());
    return ok_status();
  }
  const bool add = options.action == KeyAction::kAdd;
  const Json body = add ? new_key(options) : Json::object({{"grace_seconds", options.grace}});
  TUTTI_TRY(const Json made, server.ask("POST", add ? kKeys : one + "/rotate", &body));
  std::printf("%s\n", text_of(made, "key").c_str());
  return ok_status();
}

}  // namespace

int key_command(const KeyOptions& options) {
  const Status status = options.action == KeyAction::kList ? list(options) : change(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
