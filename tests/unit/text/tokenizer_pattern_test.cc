// Translation of patterns from Oniguruma to PCRE2, and their bounded run time.
#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/unicode_pattern.h"
#include "text/unicode_props.h"
#include "text/unicode_regex.h"

namespace tutti {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
  const auto regex = UnicodeRegex::compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status().message();
  RegexSearch search(*regex, text.size());
  search.start(text);
  std::vector<std::string> found;
  while (true) {
    const auto match = search.next();
    EXPECT_TRUE(match.ok()) << match.status().message();
    if (!match.ok() || !*match) {
      return found;
    }
    found.emplace_back(text.substr((*match)->begin, (*match)->end - (*match)->begin));
  }
}

TEST(Pattern, WhiteSpaceClasses) {
  EXPECT_THAT(matches(R"(\s+)", "a\u00A0\u3000b\u180Ec\u200Bd\n"),
              ElementsAre("\u00A0\u3000", "\n"));
  EXPECT_THAT(matches(R"(\S+)", "a\u2028b\u180E"), ElementsAre("a", "b\u180E"));
  EXPECT_THAT(matches(R"([^\S\n]+)", " \n\t x"), ElementsAre(" ", "\t "));
  EXPECT_THAT(matches(R"([\s\S])", "a "), ElementsAre("a", " "));
}

TEST(Pattern, PropertiesEscapesAndGroups) {
  EXPECT_THAT(matches(R"(\p{Lu}\p{Ll}*)", "AbcDé"), ElementsAre("Abc", "Dé"));
  EXPECT_THAT(matches(R"(\P{L}+)", "a12b"), ElementsAre("12"));
  EXPECT_THAT(matches(R"(\p{^L}+)", "a12b"), ElementsAre("12"));
  EXPECT_THAT(matches(R"(\p{Han}+)", "漢字かな"), ElementsAre("漢字"));
  EXPECT_THAT(matches(R"(\d+|\D)", "a42"), ElementsAre("a", "42"));
  EXPECT_THAT(matches(R"(\u4f60|\x{597d}|\x41)", "你好A"), ElementsAre("你", "好", "A"));
  EXPECT_THAT(matches(R"((?<=a)b|(?<!a)c|(?>x+)y(?=z)|(?i:Q))", "abcxxyzq"),
              ElementsAre("b", "c", "xxy", "q"));
  EXPECT_THAT(matches(R"(^.|\.$)", "ab\nc."), ElementsAre("a", "c", "."));
}

TEST(Pattern, RefusesWhatEnginesReadDifferently) {
  for (const char* pattern :
       {R"(\w)",          R"(\b)",      R"(\h)",     R"(\1)",      R"((a)\k<a>)",   R"([a[b]])",
        R"([[:alpha:]])", R"([a&&b])",  R"((?m:a))", R"((?<n>a))", R"((*UTF)a)",    R"(a{2}+)",
        R"(a{2}?)",       R"(a{,2})",   R"(a{)",     R"([])a])",   R"([a)",         R"(\p{})",
        R"(\pL)",         R"([\P{L}])", R"(\xff)",   R"(\u12)",    R"(\x{110000})", R"(\x{d800})",
        R"(a\)",          R"(\p{L&})",  R"(\K)",     R"(\Q)"}) {
    const auto translated = translate_pattern(pattern);
    EXPECT_FALSE(translated.ok()) << pattern << " became " << *translated;
    EXPECT_THAT(translated.status().message(), HasSubstr("not supported")) << pattern;
  }
}

TEST(Pattern, RefusesWhatPcre2CannotCompile) {
  for (const char* pattern :
       {"(a", "a)", "*a", R"(\p{Klingon})", "[z-a]", "(((a{1000}){1000}){1000})"}) {
    const auto regex = UnicodeRegex::compile(pattern);
    EXPECT_FALSE(regex.ok()) << pattern;
  }
  EXPECT_FALSE(UnicodeRegex::compile("").ok());
  EXPECT_FALSE(UnicodeRegex::compile(std::string(1 << 20, 'a')).ok());
  EXPECT_FALSE(UnicodeRegex::compile("a\xFF").ok());
  EXPECT_FALSE(UnicodeRegex::compile(std::string(20000, '(') + std::string(20000, ')')).ok());
}

TEST(Pattern, CatastrophicBacktrackingEndsInAnError) {
  const auto regex = UnicodeRegex::compile("(a|a)*b|(a*)*c");
  ASSERT_TRUE(regex.ok()) << regex.status().message();
  const std::string text(200, 'a');
  RegexSearch search(*regex, text.size());
  search.start(text);
  const auto match = search.next();
  ASSERT_FALSE(match.ok());
  EXPECT_EQ(match.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(match.status().message(), HasSubstr("(a|a)*b"));
}

TEST(Pattern, MatchesAcrossSearchWindows) {
  std::string text(5000, '.');
  text.replace(1023, 2, "é");
  text.replace(4096, 4, "wxyz");
  EXPECT_THAT(matches("é|w.*z", text), ElementsAre("é", "wxyz"));
  const std::string wide = "x" + std::string(3000, ' ');
  EXPECT_THAT(matches(" +", wide), ElementsAre(wide.substr(1)));
}

TEST(UnicodeProps, WordsAndSpaces) {
  EXPECT_TRUE(is_word_char(U'a'));
  EXPECT_TRUE(is_word_char(U'_'));
  EXPECT_TRUE(is_word_char(0x24B6));  // circled letter: alphabetic, though a symbol
  EXPECT_FALSE(is_word_char(U'-'));
  EXPECT_FALSE(is_word_char(0xBD));  // ½: a number, but neither decimal nor alphabetic
  EXPECT_TRUE(is_white_space(0x2028));
  EXPECT_FALSE(is_white_space(0x200B));
  EXPECT_EQ(find_invalid_utf8("abcdefghé"), std::nullopt);
  EXPECT_EQ(find_invalid_utf8("abcdefgh\xC3"), 8U);
}

}  // namespace
}  // namespace tutti
