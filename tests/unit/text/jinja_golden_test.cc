// Byte-for-byte against Python's jinja2 in transformers' configuration (make_jinja_goldens.py).
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "jinja/template.h"

namespace tutti {
namespace {

const std::string kFolder = std::string(TUTTI_SOURCE_DIR) + "/tests/unit/text/";

std::string joined(const std::vector<TemplateSpan>& spans) {
  std::string text;
  for (const TemplateSpan& span : spans) {
    text += span.text;
  }
  return text;
}

Result<std::vector<TemplateSpan>> render(const std::string& source,
                                         const JsonObject& context,
                                         int64_t now) {
  TUTTI_TRY(const jinja::Template parsed, jinja::Template::parse(source));
  return parsed.render(context, now);
}

TEST(JinjaGolden, RendersWhatJinja2Renders) {
  const auto document = parse_json_file(kFolder + "jinja_goldens.json");
  ASSERT_TRUE(document.ok()) << document.status().message();
  const int64_t now = document->find("now")->as_int();
  const JsonArray& cases = document->find("cases")->as_array();
  EXPECT_GT(cases.size(), 300U);
  const JsonArray& contexts = document->find("contexts")->as_array();
  for (const Json& c : cases) {
    const Json& context = contexts[static_cast<size_t>(c.find("context")->as_int())];
    std::string source;
    if (const Json* file = c.find("file")) {
      const auto read = read_file(kFolder + "jinja_templates/" + file->as_string());
      ASSERT_TRUE(read.ok()) << read.status().message();
      source = *read;
    } else {
      source = c.find("template")->as_string();
    }
    const Json& expected = *c.find("expected");
    const auto result = render(source, context.as_object(), now);
    const std::string what =
        c.find("file") != nullptr ? c.find("file")->as_string() + " " + to_string(context) : source;
    if (expected.is_null()) {
      EXPECT_FALSE(result.ok()) << what << "\nrendered: " << joined(*result);
    } else if (result.ok()) {
      EXPECT_EQ(joined(*result), expected.as_string()) << what;
    } else {
      ADD_FAILURE() << what << "\nerror: " << result.status().message()
                    << "\nexpected: " << expected.as_string();
    }
  }
}

}  // namespace
}  // namespace tutti
