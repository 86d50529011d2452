// Pieces of the pre-tokenizers, worked out by hand from their patterns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/pretokenizer.h"
#include "tokenizer_files.h"

namespace tutti {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Pieces = std::vector<std::string>;

Pieces split(const Json& json, std::string_view text) {
  const auto pre = PreTokenizer::from_json(&json, "pre_tokenizer");
  EXPECT_TRUE(pre.ok()) << pre.status().message();
  PieceList list;
  std::vector<TextRange> scratch;
  const Status status = pre->split(text, list, scratch);
  EXPECT_TRUE(status.ok()) << status.message();
  Pieces pieces;
  for (size_t i = 0; i < list.ranges.size(); ++i) {
    pieces.emplace_back(list.piece(i));
  }
  return pieces;
}

Pieces deepseek(std::string_view text) {
  return split(deepseek_pre_tokenizer(), text);
}

Pieces qwen(std::string_view text) {
  return split(sequence({split_step(kQwen2), byte_level()}), text);
}

TEST(DeepSeekSplit, WordsTakeOneSpace) {
  EXPECT_THAT(deepseek("Hello world"), ElementsAre("Hello", " world"));
  EXPECT_THAT(deepseek("a  b"), ElementsAre("a", " ", " b"));
  EXPECT_THAT(deepseek("\tx"), ElementsAre("\tx"));
}

TEST(DeepSeekSplit, DigitsInThreesFromTheLeft) {
  EXPECT_THAT(deepseek("1234567"), ElementsAre("123", "456", "7"));
  EXPECT_THAT(deepseek("a12 3456b"), ElementsAre("a", "12", " ", "345", "6", "b"));
  EXPECT_THAT(deepseek("٠١٢٣"), ElementsAre("٠١٢", "٣"));
  EXPECT_THAT(deepseek("x²"), ElementsAre("x", "²"));
}

TEST(DeepSeekSplit, ChineseAndKanaRunsStandAlone) {
  EXPECT_THAT(deepseek("你好world"), ElementsAre("你好", "world"));
  EXPECT_THAT(deepseek("カタカナと漢字。ok"), ElementsAre("カタカナと漢字", "。", "ok"));
  EXPECT_THAT(deepseek(" 你"), ElementsAre(" ", "你"));
}

TEST(DeepSeekSplit, PunctuationTakesFollowingAsciiLetters) {
  EXPECT_THAT(deepseek("don't"), ElementsAre("don", "'t"));
  EXPECT_THAT(deepseek("x_y(z)"), ElementsAre("x", "_y", "(z", ")"));
  EXPECT_THAT(deepseek("a ==b"), ElementsAre("a", " ==", "b"));
  // é is no A-Za-z, so the dot stands alone.
  EXPECT_THAT(deepseek(".été"), ElementsAre(".", "été"));
}

TEST(DeepSeekSplit, NewlinesStickToPunctuationAndSpaces) {
  EXPECT_THAT(deepseek("a;\n\nb"), ElementsAre("a", ";\n\n", "b"));
  EXPECT_THAT(deepseek("a \r\n  b"), ElementsAre("a", " \r\n", " ", " b"));
  EXPECT_THAT(deepseek("\n\n"), ElementsAre("\n\n"));
}

TEST(DeepSeekSplit, TrailingSpaces) {
  EXPECT_THAT(deepseek("a   "), ElementsAre("a", "   "));
  EXPECT_THAT(deepseek("   a"), ElementsAre("  ", " a"));
  // The digits were cut out first: the spaces before them end their own text.
  EXPECT_THAT(deepseek("a   1"), ElementsAre("a", "   ", "1"));
}

TEST(DeepSeekSplit, MarksAndJoinedEmoji) {
  EXPECT_THAT(deepseek("cafe\u0301 x"), ElementsAre("cafe\u0301", " x"));
  // Emoji are symbols; the joiner is neither letter, mark, punctuation nor symbol.
  EXPECT_THAT(deepseek("👩\u200D👧"), ElementsAre("👩", "\u200D", "👧"));
  EXPECT_THAT(deepseek(" 👍🏽!"), ElementsAre(" 👍🏽!"));
}

TEST(QwenSplit, ContractionsDigitsAndSpaces) {
  EXPECT_THAT(qwen("I'LL go"), ElementsAre("I", "'LL", " go"));
  EXPECT_THAT(qwen("12a"), ElementsAre("1", "2", "a"));
  EXPECT_THAT(qwen("a  \n b"), ElementsAre("a", "  \n", " b"));
  // Marks are no letters here: the mark goes to "neither space, letter nor number".
  EXPECT_THAT(qwen("e\u0301e"), ElementsAre("e", "\u0301e"));
}

TEST(QwenSplit, WhiteSpaceIsTheUnicodeProperty) {
  EXPECT_THAT(qwen("a\u0085\u0085b"), ElementsAre("a", "\u0085", "\u0085b"));
  // U+180E is no White_Space, though PCRE2's \s says so: here it is "something else".
  EXPECT_THAT(qwen("a\u180E\u180E."), ElementsAre("a", "\u180E\u180E."));
}

TEST(QwenSplit, LettersNewerThanTheInstalledPcre2) {
  EXPECT_THAT(qwen("\U00031350\U00031351"), ElementsAre("\U00031350\U00031351"));  // 15.0
  EXPECT_THAT(qwen("\U00013460a"), ElementsAre("\U00013460a"));                    // 16.0
}

TEST(Gpt2Split, ByteLevelRegexAndPrefixSpace) {
  EXPECT_THAT(split(byte_level(true), "Hi there's 42!"),
              ElementsAre("Hi", " there", "'s", " 42", "!"));
  EXPECT_THAT(split(byte_level(true, true), "Hi"), ElementsAre(" Hi"));
  EXPECT_THAT(split(byte_level(true, true), " Hi"), ElementsAre(" Hi"));
}

TEST(SplitBehaviors, AsInTheReferenceImplementation) {
  const auto run = [](const char* behavior, bool invert) {
    return split(sequence({split_step("-", behavior, invert), byte_level()}), "-a--b-");
  };
  EXPECT_THAT(run("Removed", false), ElementsAre("a", "b"));
  EXPECT_THAT(run("Removed", true), ElementsAre("-", "-", "-", "-"));
  EXPECT_THAT(run("Isolated", false), ElementsAre("-", "a", "-", "-", "b", "-"));
  EXPECT_THAT(run("MergedWithPrevious", false), ElementsAre("-", "a-", "-", "b-"));
  EXPECT_THAT(run("MergedWithNext", false), ElementsAre("-a", "-", "-b", "-"));
  EXPECT_THAT(run("Contiguous", false), ElementsAre("-", "a", "--", "b", "-"));
}

TEST(SplitBehaviors, LiteralPatternIsNoRegex) {
  Json step = split_step("x");
  step.as_object().set("pattern", Json::object({{"String", "."}}));
  EXPECT_THAT(split(sequence({step, byte_level()}), "a.b"), ElementsAre("a", ".", "b"));
}

TEST(SplitBehaviors, DigitsAndPunctuation) {
  const Json single = Json::object({{"type", "Digits"}, {"individual_digits", true}});
  const Json runs = Json::object({{"type", "Digits"}, {"individual_digits", false}});
  const Json marks = Json::object({{"type", "Punctuation"}, {"behavior", "Contiguous"}});
  EXPECT_THAT(split(sequence({single, byte_level()}), "a12"), ElementsAre("a", "1", "2"));
  EXPECT_THAT(split(sequence({runs, byte_level()}), "a12"), ElementsAre("a", "12"));
  EXPECT_THAT(split(sequence({marks, byte_level()}), "a+。b"), ElementsAre("a", "+。", "b"));
}

// Unicode 8, as the reference has it: U+2E42 is of version 7, U+061D, U+2E43 and U+1E5FF are
// younger, U+166D was punctuation then.
TEST(SplitBehaviors, PunctuationOfTheReferencesAge) {
  const Json marks = sequence({Json::object({{"type", "Punctuation"}}), byte_level()});
  EXPECT_THAT(split(marks, "a\u2E42b\u166Dc"), ElementsAre("a", "\u2E42", "b", "\u166D", "c"));
  EXPECT_THAT(split(marks, "a\u061Db\u2E43c\U0001E5FFd"),
              ElementsAre("a\u061Db\u2E43c\U0001E5FFd"));
  EXPECT_THAT(split(marks, "a$^b"), ElementsAre("a", "$", "^", "b"));
}

TEST(SplitBehaviors, EmptyMatchesCutButGiveNoPieces) {
  EXPECT_THAT(split(sequence({split_step("[ae]*"), byte_level()}), "baéx"),
              ElementsAre("b", "a", "é", "x"));
}

TEST(PreTokenizerFile, RefusesByName) {
  const auto message = [](const Json& json) {
    const auto pre = PreTokenizer::from_json(&json, "pre_tokenizer");
    EXPECT_FALSE(pre.ok());
    return pre.status().message();
  };
  EXPECT_THAT(message(Json::object({{"type", "Metaspace"}})), HasSubstr("\"Metaspace\""));
  EXPECT_THAT(message(sequence({byte_level(), split_step("a")})),
              HasSubstr("pretokenizers[1]: type \"Split\" after ByteLevel"));
  EXPECT_THAT(message(sequence({split_step("a", "Sideways"), byte_level()})),
              HasSubstr("\"Sideways\""));
  EXPECT_THAT(message(Json(3)), HasSubstr("wanted an object"));
  Json deep = byte_level();
  for (int i = 0; i < 100; ++i) {
    deep = sequence({deep});
  }
  EXPECT_THAT(message(deep), HasSubstr("wanted an object"));
}

TEST(PreTokenizerFile, MayDoWithoutByteLevel) {
  const Json split = sequence({split_step("a")});
  EXPECT_FALSE(PreTokenizer::from_json(&split, "pre_tokenizer")->byte_level());
  EXPECT_FALSE(PreTokenizer::from_json(nullptr, "pre_tokenizer")->byte_level());
  const Json bytes = byte_level();
  EXPECT_TRUE(PreTokenizer::from_json(&bytes, "pre_tokenizer")->byte_level());
}

}  // namespace
}  // namespace tutti
