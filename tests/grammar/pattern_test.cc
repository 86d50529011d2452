#include "grammar/pattern.h"

#include <gtest/gtest.h>

#include "grammar/json_text.h"

namespace tutti::grammar {
namespace {

bool matches(const char* pattern, const std::string& text, PatternUse use = PatternUse::kSearch) {
  RegexPool pool;
  const JsonText json(pool);
  const auto made = compile_pattern(pool, pattern, use, Writing::kJsonString, json.usual_char());
  EXPECT_TRUE(made.ok()) << pattern << ": " << made.status().message();
  return made.ok() && pool.matches(*made, json_string_content(text));
}

// Right and wrong as ECMA-262 says (checked with Node).
struct Case {
  const char* pattern;
  std::vector<const char*> match;
  std::vector<const char*> differ;
};

TEST(Pattern, SearchesUnlessItIsAnchored) {
  const Case cases[] = {
      {"b", {"b", "abc", "bb"}, {"", "ac"}},
      {"^b", {"b", "bc"}, {"ab"}},
      {"b$", {"ab"}, {"ba"}},
      {"^b$", {"b"}, {"bb", "ab"}},
      {"^a|b$", {"ax", "xb", "a"}, {"xa", "bx"}},
      {"^(a|b)$", {"a", "b"}, {"ab", ""}},
      {"(^a|b)c", {"acx", "xbcx"}, {"xac"}},
      {"(^|-)x", {"x", "a-x"}, {"ax"}},
      {"", {"", "abc"}, {}},
      {"^$", {""}, {"a"}},
      {"yes|no", {"yes", "no", "nobody"}, {"maybe"}},
      {"a{2,3}", {"aa", "baab"}, {"aba"}},
      {"^a{2}$", {"aa"}, {"a", "aaa"}},
      {"^a{2,}$", {"aa", "aaaa"}, {"a"}},
      {"^a+?b*?$", {"a", "aab"}, {"b"}},
      {"^[a-c-]+$", {"a-b", "-"}, {"d"}},
      {"^[^a-c]$", {"d", "é", "\""}, {"a", "dd"}},
      {"^[]$", {}, {"", "a"}},
      {"^[^]$", {"a", "\n"}, {""}},
      {"^\\d{3}\\w\\s$", {"123_ ", "123a\t"}, {"12a_ ", "123- "}},
      {"^\\D\\W\\S$", {"a-b"}, {"1-b", "aab"}},
      {"^.$", {"a", "😀"}, {"\n", ""}},
      {"^\\x41\\u0042\\u{1F600}\\uD83D\\uDE00$", {"AB😀😀"}, {"AB"}},
      {"^\\t\\n\\r\\f\\v\\0\\cA$", {"\t\n\r\f\v"}, {}},
      {"^(?:ab)+(?<name>c)?$", {"abab", "abc"}, {"ac"}},
      {"^\\(\\[\\{\\$\\^\\.\\|\\/\\-$", {"([{$^.|/-"}, {"("}},
      {"\"", {"say \"x\""}, {"x"}},
      {"^\\\\$", {"\\"}, {"/"}},
  };
  for (const Case& one : cases) {
    for (const char* text : one.match) {
      if (std::string_view(one.pattern).find("\\0") == std::string_view::npos) {
        EXPECT_TRUE(matches(one.pattern, text)) << one.pattern << " and " << text;
      }
    }
    for (const char* text : one.differ) {
      EXPECT_FALSE(matches(one.pattern, text)) << one.pattern << " and " << text;
    }
  }
  EXPECT_TRUE(matches("^\\t\\n\\r\\f\\v\\0\\cA$", std::string("\t\n\r\f\v\0\x01", 7)));
  EXPECT_FALSE(matches("b", "abc", PatternUse::kWhole));
  EXPECT_TRUE(matches("ab|abc", "abc", PatternUse::kWhole));
}

TEST(Pattern, WhatItCannotSayIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"(", "at byte 1: a ( without its )"},
      {"a)", "at byte 1: a ) without its ("},
      {"[a", "a [ without its ]"},
      {"*a", "nothing to repeat"},
      {"a**", "two counts in a row"},
      {"a{3,2}", "a count from 3 to 2"},
      {"a{x}", "{ begins no count"},
      {"[b-a]", "a range that ends before it begins"},
      {"(?=a)", "look-around"},
      {"(?<!a)b", "look-around"},
      {"(a)\\1", "a back-reference"},
      {"\\bword", "a word boundary"},
      {"\\p{L}", "a Unicode property"},
      {"(?i)a", "this kind of group"},
      {"(^a)+", "an anchor inside a repetition"},
      {"\\q", "\\q is no escape"},
      {"\\uD83D", "no character has this code"},
      {"\\", "\\ at the end"},
  };
  for (const auto& [pattern, message] : cases) {
    RegexPool pool;
    const auto made =
        compile_pattern(pool, pattern, PatternUse::kSearch, Writing::kPlain, RegexPool::kNothing);
    ASSERT_FALSE(made.ok()) << pattern;
    EXPECT_NE(made.status().message().find(message), std::string::npos) << made.status().message();
  }
  RegexPool pool;
  EXPECT_FALSE(
      compile_pattern(
          pool, std::string(30000, '('), PatternUse::kWhole, Writing::kPlain, RegexPool::kNothing)
          .ok());
}

}  // namespace
}  // namespace tutti::grammar
