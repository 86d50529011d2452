// The routes to what is kept: stored responses, replies under way.
#include "base/json.h"
#include "serve/http_api.h"
#include "serve/response_store.h"

namespace tutti {

HttpResponse HttpApi::list_replies(const std::string& owner) const {
  JsonArray all;
  for (const auto& reply : replies_.of(owner)) {
    all.push_back(reply->json());
  }
  return json_response(to_string(Json::object({{"object", "list"}, {"data", std::move(all)}})));
}

HttpResponse HttpApi::stop_reply(const RouteMatch& match) const {
  const std::shared_ptr<RunningReply> reply = replies_.find(match.name, match.owner);
  if (reply == nullptr) {
    return error_response(to_api_error(no_such_reply(match.name)));
  }
  reply->stop_and_forget();
  return json_response(
      to_string(Json::object({{"id", match.name}, {"object", "reply"}, {"deleted", true}})));
}

// Of a response that this key has made.
HttpResponse HttpApi::stored_response(const RouteMatch& match, const HttpHead& head) const {
  if (config_.responses == nullptr) {
    return error_response(http_error(404, "this server stores no responses"));
  }
  if (match.route->id == RouteId::kForgetResponse) {
    const Status removed = config_.responses->remove(match.name, match.owner);
    return removed.ok() ? json_response(to_string(Json::object(
                              {{"id", match.name}, {"object", "response"}, {"deleted", true}})))
                        : error_response(to_api_error(removed));
  }
  const Result<StoredResponse> found = config_.responses->find(match.name, match.owner);
  if (!found.ok()) {
    return error_response(to_api_error(found.status()));
  }
  if (match.route->id == RouteId::kResponse) {
    if (head.query.find("stream=true") != std::string::npos) {
      return error_response(http_error(400, "stream: stored responses are not sent as streams"));
    }
    return json_response(found->response);
  }
  return json_response(
      fmt::format(R"({{"object":"list","data":{},"has_more":false}})", found->input));
}

}  // namespace tutti
