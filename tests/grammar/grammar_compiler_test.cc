#include "grammar/grammar_compiler.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "grammar_texts.h"

namespace tutti::grammar {
namespace {

using Kind = GrammarSpec::Kind;

// Whether the tokens of bytes and the special ones (as ids) may come one after the other and end.
bool reads(const TokenGrammar& grammar, const std::vector<int32_t>& tokens, size_t vocabulary) {
  const auto state = grammar.start();
  std::vector<uint32_t> mask((vocabulary + 31) / 32);
  for (const int32_t token : tokens) {
    std::ranges::fill(mask, 0U);
    state->fill_mask(mask);
    if ((mask[static_cast<size_t>(token) / 32] >> (token % 32) & 1U) == 0) {
      return false;
    }
    if (!state->accept(token)) {
      return false;
    }
  }
  std::ranges::fill(mask, 0U);
  state->fill_mask(mask);
  return (mask[(vocabulary - 1) / 32] >> ((vocabulary - 1) % 32) & 1U) != 0;
}

std::vector<int32_t> bytes(std::string_view text) {
  std::vector<int32_t> out;
  for (const char c : text) {
    out.push_back(static_cast<unsigned char>(c));
  }
  return out;
}

TEST(GrammarCompiler, ReasoningComesBeforeTheGrammar) {
  const std::vector<std::string> texts = byte_texts();
  GrammarCompiler compiler(texts, {});
  const GrammarSpec spec = text_spec(Kind::kPattern, "yes|no");
  const auto end = static_cast<int32_t>(texts.size() - 1);
  const auto opened = *compiler.compile(spec, {.close = "</think>"}, {end});
  EXPECT_TRUE(reads(*opened, bytes("I <think> so</thin.</think>\n\nyes"), texts.size()));
  EXPECT_FALSE(reads(*opened, bytes("yes"), texts.size()));
  EXPECT_FALSE(reads(*opened, bytes("a</think>maybe"), texts.size()));
  const auto optional =
      *compiler.compile(spec, {.open = "<think>", .close = "</think>", .optional = true}, {end});
  EXPECT_TRUE(reads(*optional, bytes("no"), texts.size()));
  EXPECT_TRUE(reads(*optional, bytes("<think>well</think>no"), texts.size()));
  EXPECT_FALSE(reads(*optional, bytes("well</think>no"), texts.size()));
}

TEST(GrammarCompiler, MarksThatAreSpecialTokensAreNoText) {
  std::vector<std::string> texts = byte_texts({special_token_text(256)});
  GrammarCompiler compiler(texts, {{"</think>", 256}});
  const auto end = static_cast<int32_t>(texts.size() - 1);
  const auto grammar =
      *compiler.compile(text_spec(Kind::kPattern, "yes"), {.close = "</think>"}, {end});
  std::vector<int32_t> tokens = bytes("hm </think>");
  tokens.push_back(256);
  for (const int32_t token : bytes("yes")) {
    tokens.push_back(token);
  }
  EXPECT_TRUE(reads(*grammar, tokens, texts.size()));
  EXPECT_FALSE(reads(*grammar, bytes("hm </think>yes"), texts.size()));
}

TEST(GrammarCompiler, ErrorsAreAboutTheField) {
  GrammarCompiler compiler(byte_texts(), {});
  GrammarSpec spec = schema_spec(R"({"type":"string","minLength":3,"maxLength":2})");
  spec.field = "guided_json";
  const auto made = compiler.compile(spec, {}, {256});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().param(), "guided_json");
  EXPECT_EQ(made.status().message(),
            "guided_json: no text can satisfy it: its conditions contradict each other");
}

// G-04: what is kept stays bounded.
TEST(GrammarCompiler, ManyGrammarsAreForgotten) {
  GrammarCompiler compiler(byte_texts(), {});
  size_t made = 0;
  for (; made < 300 && compiler.kept() == made; ++made) {
    GrammarSpec spec{.kind = Kind::kChoice, .field = "grammar"};
    for (size_t i = 0; i < 30000; ++i) {
      spec.choices.push_back(std::to_string(made * 1'000'000 + i * 7));
    }
    ASSERT_TRUE(compiler.compile(spec, {}, {256}).ok());
  }
  EXPECT_LT(compiler.kept(), made);  // some had to go
  EXPECT_GT(compiler.kept(), 1U);
  EXPECT_LE(compiler.kept_bytes(), GrammarCompiler::kKeptBytes);
  const size_t kept = compiler.kept();
  const GrammarSpec again = text_spec(Kind::kPattern, "again");
  ASSERT_TRUE(compiler.compile(again, {}, {256}).ok());
  const size_t with = compiler.kept();
  EXPECT_LE(with, kept + 1);
  ASSERT_TRUE(compiler.compile(again, {}, {256}).ok());
  EXPECT_EQ(compiler.kept(), with);
}

// A grammar that one request wore out is made anew for the next.
TEST(GrammarCompiler, AWornGrammarIsNotHandedOut) {
  const std::vector<std::string> texts = byte_texts();
  GrammarCompiler compiler(texts, {});
  const auto end = static_cast<int32_t>(texts.size() - 1);
  const GrammarSpec spec = text_spec(Kind::kPattern, "(a|b)*a(a|b){60}");
  std::mt19937 random(3);
  const auto worn_out = *compiler.compile(spec, {}, {end});
  const auto state = worn_out->start();
  std::vector<uint32_t> mask((texts.size() + 31) / 32);
  bool stuck = false;
  for (int i = 0; i < 400000 && !stuck; ++i) {
    state->accept(random() % 2 == 0 ? 'a' : 'b');
    if (i % 1000 == 0) {
      std::ranges::fill(mask, 0U);
      state->fill_mask(mask);
      stuck = mask['a' / 32] == 0;
    }
  }
  EXPECT_TRUE(stuck);
  const auto anew = (*compiler.compile(spec, {}, {end}))->start();
  std::ranges::fill(mask, 0U);
  anew->fill_mask(mask);
  EXPECT_NE(mask['a' / 32], 0U);
}

// G-06: bad ones leave nothing behind.
TEST(GrammarCompiler, BadGrammarsHarmNobody) {
  GrammarCompiler compiler(byte_texts(), {});
  for (int i = 0; i < 2000; ++i) {
    EXPECT_FALSE(
        compiler.compile(text_spec(Kind::kPattern, "(" + std::to_string(i)), {}, {256}).ok());
  }
  EXPECT_EQ(compiler.kept(), 0U);
  EXPECT_TRUE(compiler.compile(text_spec(Kind::kPattern, "good"), {}, {256}).ok());
}

}  // namespace
}  // namespace tutti::grammar
