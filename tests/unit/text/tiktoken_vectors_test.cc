// Texts in the ids that tiktoken gives them: tiktoken_vectors.py wrote the file.
#include <cstdlib>

#include <gtest/gtest.h>

#include "base/file.h"
#include "text/tokenizer.h"

namespace tutti {
namespace {

std::string shortened(const std::string& text) {
  return text.substr(0, 200);
}

void compare(const Json& c) {
  const Json& config = *c.find("config");
  const auto tokenizer = Tokenizer::from_tiktoken(c.find("ranks")->as_string(), &config);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  const JsonArray& texts = c.find("texts")->as_array();
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string& text = texts[i].as_string();
    std::vector<int32_t> want;
    for (const Json& id : c.find("ids")->as_array()[i].as_array()) {
      want.push_back(static_cast<int32_t>(id.as_int()));
    }
    const auto got = (*tokenizer)->encode(text);
    ASSERT_TRUE(got.ok()) << got.status().message();
    EXPECT_EQ(*got, want) << shortened(text);
    EXPECT_EQ((*tokenizer)->decode(*got), text);
  }
}

TEST(TiktokenVectors, IdsAreTheLibrarys) {
  const char* other = std::getenv("TUTTI_TIKTOKEN_VECTORS");
  const Result<Json> cases =
      parse_json_file(other != nullptr ? other : TUTTI_TIKTOKEN_VECTORS_FILE);
  ASSERT_TRUE(cases.ok()) << cases.status().message();
  ASSERT_GE(cases->as_array().size(), 4U);
  for (const Json& one : cases->as_array()) {
    compare(one);
  }
}

}  // namespace
}  // namespace tutti
