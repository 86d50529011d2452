#include "supervise/keys_api.h"

#include <algorithm>

#include "base/json_fields.h"
#include "base/wall_clock.h"

namespace tutti {

namespace {

constexpr std::string_view kKeys = "/v1/admin/keys";
constexpr std::string_view kOneKey = "/v1/admin/keys/";
constexpr std::string_view kRotate = "/rotate";
constexpr int64_t kLongest = 10LL * 366 * 24 * 3600;  // seconds
constexpr int64_t kMostPerMinute = int64_t{1} << 40;

/// Which of the routes a path is, for whatever method.
struct KeyPath {
  bool all = false;
  bool rotate = false;
  std::string name;
};

KeyPath key_path(std::string_view path) {
  KeyPath out;
  out.all = path == kKeys;
  if (path.starts_with(kOneKey)) {
    path.remove_prefix(kOneKey.size());
    out.rotate = path.ends_with(kRotate);
    path.remove_suffix(out.rotate ? kRotate.size() : 0);
    out.name = path.find('/') == std::string_view::npos ? std::string(path) : "";
  }
  return out;
}

Result<Json> read_object(const std::string& body) {
  if (body.empty()) {
    return Json::object();
  }
  TUTTI_TRY(Json json, parse_json(body, {.max_depth = 8}));
  if (!json.is_object()) {
    return invalid("wanted a JSON object");
  }
  return json;
}

Status check_known(const JsonObject& object, std::initializer_list<const char*> known) {
  for (const JsonMember& member : object) {
    if (std::none_of(known.begin(), known.end(), [&](auto name) { return member.key == name; })) {
      return invalid("{}: no such field", member.key.substr(0, 64)).with_param(member.key);
    }
  }
  return ok_status();
}

Result<NewKey> read_new_key(const JsonObject& object) {
  TUTTI_RETURN_IF_ERROR(check_known(
      object,
      {"name", "scopes", "requests_per_minute", "tokens_per_minute", "expires_in_seconds"}));
  FieldReader fields(object, "");
  NewKey key;
  key.name = fields.required_string("name");
  const JsonArray* scopes = fields.optional_array("scopes");
  key.limits.requests = fields.int_or("requests_per_minute", 0, {.min = 0, .max = kMostPerMinute});
  key.limits.tokens = fields.int_or("tokens_per_minute", 0, {.min = 0, .max = kMostPerMinute});
  const int64_t expires = fields.int_or("expires_in_seconds", 0, {.min = 0, .max = kLongest});
  TUTTI_RETURN_IF_ERROR(fields.status());
  key.expires_unix = expires == 0 ? 0 : unix_now() + expires;
  if (scopes == nullptr) {
    key.scopes = {"inference"};
    return key;
  }
  for (const Json& scope : *scopes) {
    if (!scope.is_string()) {
      return invalid("scopes: got {}, wanted texts", scope.type_name()).with_param("scopes");
    }
    key.scopes.push_back(scope.as_string());
  }
  return key;
}

class Done final : public PendingAnswer {
 public:
  explicit Done(HttpResponse response) : response_(std::move(response)) {}

  std::optional<HttpResponse> poll() override { return response_; }

 private:
  HttpResponse response_;
};

}  // namespace

Management::Match KeysApi::match(std::string_view method, std::string_view path) const {
  const KeyPath found = key_path(path);
  if (!found.all && found.name.empty()) {
    return other_->match(method, path);
  }
  const std::string allowed = found.all ? "GET, POST" : found.rotate ? "POST" : "DELETE";
  return {.path = true,
          .method = allowed.find(method) != std::string::npos,
          .open = false,
          .allowed = allowed};
}

std::unique_ptr<PendingAnswer> KeysApi::call(const ManagementCall& call) {
  const KeyPath found = key_path(call.path);
  if (!found.all && found.name.empty()) {
    return other_->call(call);
  }
  return std::make_unique<Done>(answer(call));
}

HttpResponse KeysApi::answer(const ManagementCall& call) {
  const KeyPath found = key_path(call.path);
  if (found.all) {
    return call.method == "GET" ? list() : add(call.body);
  }
  if (found.rotate) {
    return rotate(found.name, call.body);
  }
  const Status status = keys_.remove(found.name);
  return status.ok() ? json_response("null") : error(to_api_error(status));
}

HttpResponse KeysApi::list() const {
  JsonArray list;
  for (const StoredKey& key : keys_.all()) {
    list.push_back(
        Json::object({{"name", key.name},
                      {"scopes", key.scopes},
                      {"requests_per_minute", key.requests_per_minute},
                      {"tokens_per_minute", key.tokens_per_minute},
                      {"expires", key.expires_unix == 0 ? Json() : Json(key.expires_unix)},
                      {"created", key.created_unix}}));
  }
  return json_response(to_string(Json(std::move(list))));
}

HttpResponse KeysApi::made(const std::string& name, const Result<std::string>& key) const {
  return key.ok() ? json_response(to_string(Json::object({{"name", name}, {"key", *key}})))
                  : error(to_api_error(key.status()));
}

HttpResponse KeysApi::add(const std::string& body) {
  const Result<Json> object = read_object(body);
  if (!object.ok()) {
    return error(to_api_error(object.status()));
  }
  const Result<NewKey> key = read_new_key(object->as_object());
  return key.ok() ? made(key->name, keys_.add(*key)) : error(to_api_error(key.status()));
}

HttpResponse KeysApi::rotate(const std::string& name, const std::string& body) {
  const Result<Json> object = read_object(body);
  if (!object.ok()) {
    return error(to_api_error(object.status()));
  }
  FieldReader fields(object->as_object(), "");
  const int64_t grace = fields.int_or("grace_seconds", 0, {.min = 0, .max = kLongest});
  Status status = check_known(object->as_object(), {"grace_seconds"});
  status = status.ok() ? fields.status() : status;
  return status.ok() ? made(name, keys_.rotate(name, unix_now() + grace))
                     : error(to_api_error(status));
}

}  // namespace tutti
