#include "grammar/char_set.h"

#include <random>

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/utf8.h"

namespace tutti::grammar {
namespace {

TEST(CharSet, EveryBorderIsWrittenInUtf8AsItIs) {
  const char32_t borders[] = {0,      0x1F,    0x20,    '"',     '\\',    0x7E,     0x7F,
                              0x80,   0x7FF,   0x800,   0xFFF,   0x1000,  0xD7FF,   0xE000,
                              0xFFFF, 0x10000, 0x3FFFF, 0x40000, 0xFFFFF, 0x100000, 0x10FFFF};
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    RegexPool pool;
    std::vector<CharSet::Range> ranges;
    for (int i = 0; i < 3; ++i) {
      const char32_t a = borders[random() % std::size(borders)];
      const char32_t b = borders[random() % std::size(borders)];
      ranges.push_back({std::min(a, b), std::max(a, b)});
    }
    const CharSet set = random() % 2 == 0 ? CharSet(ranges) : CharSet(ranges).complement();
    const ExprId plain = one_of(pool, set, Writing::kPlain);
    const ExprId json = one_of(pool, set, Writing::kJsonString);
    for (const char32_t border : borders) {
      for (const int step : {-1, 0, 1}) {
        const char32_t code = border + static_cast<char32_t>(step);
        if (code > kMaxChar || (code >= 0xD800 && code <= 0xDFFF)) {
          continue;
        }
        std::string bytes;
        append_utf8(bytes, code);
        ASSERT_EQ(pool.matches(plain, bytes), set.contains(code)) << static_cast<uint32_t>(code);
        std::string quoted;
        append_json_string(quoted, bytes);
        ASSERT_EQ(pool.matches(json, quoted.substr(1, quoted.size() - 2)), set.contains(code))
            << quoted;
      }
    }
    EXPECT_FALSE(pool.matches(plain, "\xED\xA0\x80"));  // a surrogate
    EXPECT_FALSE(pool.matches(plain, "\xC0\x80"));
  }
}

TEST(CharSet, AnyJsonCharacterIsOneOfTheParsers) {
  RegexPool pool;
  const ExprId any = any_json_char(pool);
  for (const char* good :
       {"a", "é", "😀", "\\n", "\\/", "\\u0000", "\\u00e9", "\\uD83D\\uDE00", "\\\""}) {
    EXPECT_TRUE(pool.matches(any, good)) << good;
    EXPECT_TRUE(parse_json("\"" + std::string(good) + "\"").ok()) << good;
  }
  for (const char* bad :
       {"", "\"", "\\", "\n", "\\x", "\\uD83D", "\\uDE00", "\\uD83Dx", "ab", "\\u12"}) {
    EXPECT_FALSE(pool.matches(any, bad)) << bad;
  }
}

}  // namespace
}  // namespace tutti::grammar
