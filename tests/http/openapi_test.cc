// The description of the interface says of every field what the server does with it.
#include "serve/openapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/ascii.h"
#include "serve/dialect.h"
#include "serve/http_api.h"

namespace tutti {
namespace {

const Json* at(const Json& json, std::initializer_list<const char*> path) {
  const Json* found = &json;
  for (const char* name : path) {
    found = found == nullptr || !found->is_object() ? nullptr : found->as_object().find(name);
  }
  return found;
}

TEST(OpenApi, HasEveryRouteUnderItsMethod) {
  const Json document = openapi_document();
  for (const Route& route : route_table()) {
    const std::string path = route.pattern();
    const std::string method = to_lower(route.method);
    EXPECT_NE(at(document, {"paths", path.c_str(), method.c_str(), "responses", "200"}), nullptr)
        << path;
  }
}

TEST(OpenApi, HasEveryFieldOfEveryRoute) {
  const Json document = openapi_document();
  for (const Dialect* dialect : dialects()) {
    for (size_t i = 0; i < dialect->routes().size(); ++i) {
      const char* path = dialect->routes()[i].path;
      const Json* fields = at(document,
                              {"paths",
                               path,
                               "post",
                               "requestBody",
                               "content",
                               "application/json",
                               "schema",
                               "properties"});
      ASSERT_NE(fields, nullptr) << path;
      size_t expected = 0;
      for (const FieldRule& rule : dialect->fields()) {
        if ((rule.routes >> i & 1U) == 0) {
          continue;
        }
        ++expected;
        const Json* text = at(*fields, {rule.name, "description"});
        ASSERT_NE(text, nullptr) << path << " " << rule.name;
        EXPECT_EQ(text->as_string().find("\u2039"), std::string::npos) << text->as_string();
        if (rule.use == FieldUse::kUsed) {
          EXPECT_THAT(text->as_string(), ::testing::HasSubstr(rule.help));
        }
      }
      EXPECT_EQ(fields->as_object().size(), expected) << path;
    }
  }
}

// By hand, from OpenAI's reference and docs/serving.md.
TEST(OpenApi, SaysWhatIsAllowed) {
  const Json document = openapi_document();
  const auto chat = [&document](std::initializer_list<const char*> path) {
    const Json* fields = at(document,
                            {"paths",
                             "/v1/chat/completions",
                             "post",
                             "requestBody",
                             "content",
                             "application/json",
                             "schema"});
    return at(*fields, path);
  };
  EXPECT_EQ(to_string(*chat({"properties", "temperature", "minimum"})), to_string(Json(0.0)));
  EXPECT_EQ(to_string(*chat({"properties", "temperature", "maximum"})), to_string(Json(2.0)));
  EXPECT_EQ(to_string(*chat({"properties", "top_p", "exclusiveMinimum"})), to_string(Json(0.0)));
  EXPECT_EQ(to_string(*chat({"properties", "max_tokens", "minimum"})), "1");
  EXPECT_EQ(to_string(*chat({"properties", "n", "type"})), R"(["integer","null"])");
  EXPECT_EQ(to_string(*chat({"required"})), R"(["messages"])");
  EXPECT_THAT(chat({"properties", "web_search_options", "description"})->as_string(),
              ::testing::HasSubstr("Not supported"));
  EXPECT_THAT(chat({"properties", "user", "description"})->as_string(),
              ::testing::HasSubstr("without effect"));
  EXPECT_THAT(chat({"properties", "timeout", "description"})->as_string(),
              ::testing::HasSubstr("--request-timeout"));
}

}  // namespace
}  // namespace tutti
