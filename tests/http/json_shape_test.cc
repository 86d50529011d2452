// The bounds on JSON text before it is parsed.
#include "serve/json_shape.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

bool passes(const std::string& text) {
  HttpLimits limits;
  limits.json_values = 5;
  limits.json_number_chars = 4;
  return check_json_shape(text, limits).ok();
}

TEST(JsonShape, CountsValues) {
  EXPECT_TRUE(passes("[1,2,3]"));
  EXPECT_TRUE(passes("[1,2,3,4]"));
  EXPECT_FALSE(passes("[1,2,3,4,5]"));
  EXPECT_FALSE(passes("[[[[[]]]]]"));
  EXPECT_FALSE(passes(R"({"a":1,"b":2,"c":3,"d":4,"e":5})"));
}

TEST(JsonShape, MeasuresNumbers) {
  EXPECT_TRUE(passes("[123,-1.5]"));
  EXPECT_TRUE(passes("1234"));
  EXPECT_FALSE(passes("12345"));
  EXPECT_FALSE(passes(R"({"a":1e100})"));
}

TEST(JsonShape, LooksIntoNoString) {
  EXPECT_TRUE(passes(R"(["[[[[[,,,,,123456789","\"1234567890,,,,,,"])"));
  EXPECT_TRUE(passes(R"("\\")"));
  EXPECT_FALSE(passes(R"(["\\",1,2,3,4])"));
  EXPECT_TRUE(passes("\"\\"));  // cut off: no JSON, but nothing to hold against its shape
  EXPECT_TRUE(passes(""));
}

}  // namespace
}  // namespace tutti
