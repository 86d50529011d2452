#include "text/reasoning.h"

#include <random>

#include <gtest/gtest.h>

namespace tutti {
namespace {

const ReasoningMarkup& think() {
  return *find_reasoning_markup("…</think>…");
}

ReasoningPiece split(std::string_view text, bool opened, size_t piece_size) {
  ReasoningSplitter splitter(think(), opened);
  ReasoningPiece all;
  const auto add = [&](const ReasoningPiece& piece) {
    all.reasoning += piece.reasoning;
    all.content += piece.content;
  };
  for (size_t i = 0; i < text.size(); i += piece_size) {
    add(splitter.push(text.substr(i, piece_size)));
  }
  add(splitter.finish());
  return all;
}

struct Case {
  const char* text;
  bool opened;
  const char* reasoning;
  const char* content;
};

constexpr Case kCases[] = {
    {"<think>\nwhy\n</think>\n\nB", false, "why", "B"},
    {"why\n</think>\n\nB", true, "why", "B"},
    {"\nwhy\n\nmore\n</think>B", true, "why\n\nmore", "B"},
    {"<think>\n\n</think>\n\nB", false, "", "B"},
    {"</think>B", true, "", "B"},
    {"</think>\n\nB", false, "", "B"},
    {"\n </think>B</think>", false, "", "B</think>"},
    {"</thin", false, "", "</thin"},
    {"</thinker>", false, "", "</thinker>"},
    {"<think>\nwhy</think>B", true, "why", "B"},  // the model repeats the prefilled mark
    {" \n<think>why</think>  B", false, "why", "  B"},
    {"no marks", false, "", "no marks"},
    {"no marks", true, "no marks", ""},
    {"a < b and </thin", true, "a < b and </thin", ""},
    {"a</thi</think>b", true, "a</thi", "b"},
    {"a<</think>b", true, "a<", "b"},
    {"  leading", false, "", "  leading"},
    {"<thin", false, "", "<thin"},
    {"<thinker> text", false, "", "<thinker> text"},
    {"text <think> more</think>", false, "", "text <think> more</think>"},
    {"a</think>b</think>c<think>d", true, "a", "b</think>c<think>d"},
    {"a\n\n", true, "a", ""},
    {"", false, "", ""},
    {"", true, "", ""},
    {"</think>\n\n", true, "", ""},
    {"why<|tool_calls_section_begin|>f", true, "why", "<|tool_calls_section_begin|>f"},
    {"é世界</think>\n😀", true, "é世界", "😀"},
};

TEST(Reasoning, SplitsTextInPiecesOfAnySize) {
  for (const Case& c : kCases) {
    for (const size_t size : {1, 2, 3, 5, 7, 1000}) {
      const ReasoningPiece got = split(c.text, c.opened, size);
      EXPECT_EQ(got.reasoning, c.reasoning) << c.text << " in pieces of " << size;
      EXPECT_EQ(got.content, c.content) << c.text << " in pieces of " << size;
    }
  }
}

TEST(Reasoning, HoldsBackOnlyWhatMayBeAMark) {
  ReasoningSplitter splitter(think(), true);
  EXPECT_EQ(splitter.push("step one. ").reasoning, "step one. ");
  EXPECT_EQ(splitter.push("x <").reasoning, "x ");
  EXPECT_EQ(splitter.push("b\n").reasoning, "<b");
  EXPECT_EQ(splitter.push("c</th").reasoning, "\nc");
  EXPECT_TRUE(splitter.in_reasoning());
  const ReasoningPiece last = splitter.push("ink>\n");
  EXPECT_EQ(last.reasoning + last.content, "");
  EXPECT_FALSE(splitter.in_reasoning());
  EXPECT_EQ(splitter.push("\nanswer").content, "answer");
  EXPECT_EQ(splitter.push("\n<think>").content, "\n<think>");
}

TEST(Reasoning, PromptThatOpensReasoning) {
  EXPECT_TRUE(prompt_opens_reasoning("<｜Assistant｜><think>", think()));
  EXPECT_TRUE(prompt_opens_reasoning("<｜Assistant｜><think>\n", think()));
  EXPECT_FALSE(prompt_opens_reasoning("<|im_start|>assistant\n<think>\n\n</think>\n\n", think()));
  EXPECT_FALSE(prompt_opens_reasoning("<｜Assistant｜>", think()));
  EXPECT_FALSE(prompt_opens_reasoning("", think()));
}

TEST(Reasoning, PromptThatClosesReasoning) {
  EXPECT_TRUE(prompt_closes_reasoning("<|im_start|>assistant\n<think>\n\n</think>\n\n", think()));
  EXPECT_TRUE(prompt_closes_reasoning("<｜Assistant｜></think>", think()));
  EXPECT_FALSE(prompt_closes_reasoning("<｜Assistant｜>", think()));
  EXPECT_FALSE(prompt_closes_reasoning("a</think>b", think()));
  EXPECT_FALSE(prompt_closes_reasoning("", think()));
}

TEST(Reasoning, MarkupComesFromTheTemplate) {
  EXPECT_EQ(find_reasoning_markup("{{ messages }}"), nullptr);
  EXPECT_EQ(find_reasoning_markup("content.split('</think>')")->open, "<think>");
  EXPECT_EQ(find_reasoning_markup("'<seed:think>'")->close, "</seed:think>");
}

TEST(Reasoning, RandomTextLosesNothingButMarksAndLineEnds) {
  const std::vector<std::string> parts = {
      "<", "think>", "</", "<think>", "</think>", "a", "\n", " ", "é"};
  const unsigned seed = 7;
  std::mt19937 random(seed);
  for (int i = 0; i < 3000; ++i) {
    std::string text;
    for (size_t n = random() % 10; n > 0; --n) {
      text += parts[random() % parts.size()];
    }
    const bool opened = random() % 2 == 0;
    const ReasoningPiece whole = split(text, opened, text.size() + 1);
    const ReasoningPiece pieces = split(text, opened, 1 + random() % 4);
    EXPECT_EQ(whole.reasoning, pieces.reasoning) << text << " seed " << seed;
    EXPECT_EQ(whole.content, pieces.content) << text << " seed " << seed;
  }
}

}  // namespace
}  // namespace tutti
