// A server over a fake model, on a free port, for one test.
#pragma once
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/json.h"
#include "http/fake_language_model.h"
#include "http/raw_client.h"
#include "serve/http_server.h"

namespace tutti::testing {

class TestServer {
 public:
  explicit TestServer(FakeLanguageModel::Options options = {}, ServerConfig config = {})
      : model(std::make_shared<FakeLanguageModel>(std::move(options))),
        models(std::make_shared<ServedModels>()) {
    EXPECT_TRUE(models->add(model).ok());
    config.port = 0;
    auto started = HttpServer::start(std::move(config), models);
    EXPECT_TRUE(started.ok()) << started.status().message();
    server = std::move(started).value();
  }

  uint16_t port() const { return server->port(); }

  RawResponse send(const std::string& request) const { return ask(port(), request); }

  RawResponse post(const std::string& path, const std::string& json) const {
    return send(make_post(path, json));
  }

  std::shared_ptr<FakeLanguageModel> model;
  std::shared_ptr<ServedModels> models;
  std::unique_ptr<HttpServer> server;
};

inline FakeLanguageModel::Options manual_model() {
  FakeLanguageModel::Options options;
  options.manual = true;
  return options;
}

/// The body as JSON; a null value and a failed test if it is none.
inline Json body_json(const RawResponse& response) {
  auto parsed = parse_json(response.body);
  EXPECT_TRUE(parsed.ok()) << response.body;
  return parsed.ok() ? *parsed : Json();
}

/// Path through objects and arrays: at(json, "choices", 0, "message").
inline const Json& at(const Json& json) {
  return json;
}

template <class Key, class... Rest>
const Json& at(const Json& json, Key key, Rest... rest) {
  static const Json kNone;
  const Json* found = nullptr;
  if constexpr (std::is_integral_v<Key>) {
    const auto i = static_cast<size_t>(key);
    found = json.is_array() && i < json.as_array().size() ? &json.as_array()[i] : nullptr;
  } else {
    found = json.find(key);
  }
  return found == nullptr ? kNone : at(*found, rest...);
}

inline std::string text_at(const Json& json) {
  return json.is_string() ? json.as_string() : "(" + to_string(json) + ")";
}

/// Checks OpenAI's error shape and returns {"message", "type", "param", "code"}.
inline Json error_of(const RawResponse& response) {
  const Json json = body_json(response);
  const Json& error = at(json, "error");
  EXPECT_TRUE(at(error, "message").is_string()) << response.body;
  EXPECT_TRUE(at(error, "type").is_string()) << response.body;
  EXPECT_NE(error.find("param"), nullptr) << response.body;
  EXPECT_TRUE(at(error, "code").is_string()) << response.body;
  EXPECT_FALSE(response.header("x-request-id").empty());
  return error;
}

/// Retry-After is a number of seconds in this range.
inline bool retry_within(const RawResponse& response, int from, int to) {
  const std::string text = response.header("retry-after");
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos &&
         std::stoi(text) >= from && std::stoi(text) <= to;
}

/// The data of each event; fails the test on anything but "data: …\n\n" and comments.
inline std::vector<std::string> sse_events(const std::string& body) {
  std::vector<std::string> events;
  size_t begin = 0;
  while (begin < body.size()) {
    const size_t end = body.find("\n\n", begin);
    EXPECT_NE(end, std::string::npos) << "event without end";
    if (end == std::string::npos) {
      break;
    }
    const std::string event = body.substr(begin, end - begin);
    EXPECT_EQ(event.find('\n'), std::string::npos) << event;
    EXPECT_EQ(event.find('\r'), std::string::npos) << event;
    if (event.starts_with("data: ")) {
      events.push_back(event.substr(6));
    } else {
      EXPECT_TRUE(event.starts_with(": ")) << event;
    }
    begin = end + 2;
  }
  return events;
}

}  // namespace tutti::testing
