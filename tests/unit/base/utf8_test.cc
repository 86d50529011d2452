#include "base/utf8.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

struct Sequence {
  const char* name;
  std::string bytes;
  char32_t code;
  int length;
  bool valid;
  bool truncated;
};

TEST(Utf8Test, DecodingTable) {
  const Sequence table[] = {
      {"nul", std::string(1, '\0'), 0, 1, true, false},
      {"ascii", "A", 'A', 1, true, false},
      {"last of one byte", "\x7f", 0x7F, 1, true, false},
      {"first of two", "\xc2\x80", 0x80, 2, true, false},
      {"last of two", "\xdf\xbf", 0x7FF, 2, true, false},
      {"first of three", "\xe0\xa0\x80", 0x800, 3, true, false},
      {"before the surrogates", "\xed\x9f\xbf", 0xD7FF, 3, true, false},
      {"after the surrogates", "\xee\x80\x80", 0xE000, 3, true, false},
      {"last of three", "\xef\xbf\xbf", 0xFFFF, 3, true, false},
      {"first of four", "\xf0\x90\x80\x80", 0x10000, 4, true, false},
      {"last code point", "\xf4\x8f\xbf\xbf", 0x10FFFF, 4, true, false},
      {"continuation first", "\x80", 0xFFFD, 1, false, false},
      {"overlong two", "\xc0\xaf", 0xFFFD, 1, false, false},
      {"overlong two, largest", "\xc1\xbf", 0xFFFD, 1, false, false},
      {"overlong three", "\xe0\x9f\xbf", 0xFFFD, 1, false, false},
      {"overlong four", "\xf0\x8f\xbf\xbf", 0xFFFD, 1, false, false},
      {"first surrogate", "\xed\xa0\x80", 0xFFFD, 1, false, false},
      {"last surrogate", "\xed\xbf\xbf", 0xFFFD, 1, false, false},
      {"above U+10FFFF", "\xf4\x90\x80\x80", 0xFFFD, 1, false, false},
      {"five bytes", "\xf8\x88\x80\x80\x80", 0xFFFD, 1, false, false},
      {"ff", "\xff", 0xFFFD, 1, false, false},
      {"two, then ascii", "\xc3(", 0xFFFD, 1, false, false},
      {"three, then ascii", "\xe2\x82(", 0xFFFD, 2, false, false},
      {"four, then ascii", "\xf0\x9f\x98(", 0xFFFD, 3, false, false},
      {"two, ends", "\xc3", 0xFFFD, 1, false, true},
      {"three, ends", "\xe2\x82", 0xFFFD, 2, false, true},
      {"four, ends after one", "\xf0", 0xFFFD, 1, false, true},
      {"four, ends after three", "\xf0\x9f\x98", 0xFFFD, 3, false, true},
  };
  for (const Sequence& s : table) {
    const Utf8Char c = decode_utf8(s.bytes, 0);
    EXPECT_EQ(c.code, s.code) << s.name;
    EXPECT_EQ(c.length, s.length) << s.name;
    EXPECT_EQ(c.valid, s.valid) << s.name;
    EXPECT_EQ(c.truncated, s.truncated) << s.name;
    EXPECT_EQ(is_valid_utf8(s.bytes), s.valid) << s.name;
    const Utf8Char inside = decode_utf8("ab" + s.bytes, 2);
    EXPECT_EQ(inside.code, s.code) << s.name;
    EXPECT_EQ(inside.length, s.length) << s.name;
  }
}

TEST(Utf8Test, EveryCodePointRoundTrips) {
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) {
      continue;
    }
    std::string text;
    append_utf8(text, code);
    const Utf8Char c = decode_utf8(text, 0);
    ASSERT_TRUE(c.valid) << static_cast<uint32_t>(code);
    ASSERT_EQ(c.code, code);
    ASSERT_EQ(static_cast<size_t>(c.length), text.size());
  }
}

TEST(Utf8Test, MaximalSubpartsAreReplaced) {
  // The examples of the Unicode standard, tables 3-8 to 3-11.
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(replace_invalid_utf8("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_invalid_utf8("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(replace_invalid_utf8("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), r + r + r + r + "A");
  EXPECT_EQ(replace_invalid_utf8("plain \xe2\x82\xac"), "plain \xe2\x82\xac");
  EXPECT_EQ(replace_invalid_utf8(""), "");
}

TEST(Utf8Test, ValidityOfWholeTexts) {
  EXPECT_TRUE(is_valid_utf8(""));
  EXPECT_TRUE(is_valid_utf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"));
  EXPECT_FALSE(is_valid_utf8("a\xc3\xa9\xe2\x82"));
  EXPECT_FALSE(is_valid_utf8("a\xc3\xa9 \xa9"));
}

}  // namespace
}  // namespace tutti
