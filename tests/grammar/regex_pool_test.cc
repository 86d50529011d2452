#include "grammar/regex_pool.h"

#include <functional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "grammar/lazy_dfa.h"

namespace tutti::grammar {
namespace {

// An expression beside what it means: texts of up to kLength letters a and b, one by one.
constexpr size_t kLength = 6;

struct Meant {
  ExprId expr = RegexPool::kNothing;
  std::function<bool(std::string_view)> holds;
};

std::vector<std::string> all_texts() {
  std::vector<std::string> texts{""};
  for (size_t begin = 0, length = 0; length < kLength; ++length) {
    const size_t end = texts.size();
    for (; begin < end; ++begin) {
      texts.push_back(texts[begin] + "a");
      texts.push_back(texts[begin] + "b");
    }
  }
  return texts;
}

// `text` goes on with so many pieces that there are `min` to `max` with the `done` before.
bool in_pieces(
    const Meant& piece, uint32_t min, uint32_t max, std::string_view text, uint32_t done) {
  if (done > kLength + min) {
    return false;
  }
  if (text.empty() && done >= min) {
    return true;
  }
  for (size_t cut = 0; cut <= text.size() && (max == kUnbounded || done < max); ++cut) {
    if ((cut > 0 || done < min) && piece.holds(text.substr(0, cut)) &&
        in_pieces(piece, min, max, text.substr(cut), done + 1)) {
      return true;
    }
  }
  return false;
}

Meant random_meant(RegexPool& pool, std::mt19937& random, int depth) {
  const auto below = [&] { return random_meant(pool, random, depth - 1); };
  switch (depth == 0 ? random() % 3 : random() % 8) {
    case 0:
      return {pool.bytes(ByteSet::of('a')), [](auto text) { return text == "a"; }};
    case 1:
      return {pool.bytes(ByteSet::range('a', 'b')), [](auto text) { return text.size() == 1; }};
    case 2:
      return {RegexPool::kEmpty, [](auto text) { return text.empty(); }};
    case 3: {
      const Meant a = below();
      const Meant b = below();
      return {pool.concat(a.expr, b.expr), [a, b](std::string_view text) {
                for (size_t cut = 0; cut <= text.size(); ++cut) {
                  if (a.holds(text.substr(0, cut)) && b.holds(text.substr(cut))) {
                    return true;
                  }
                }
                return false;
              }};
    }
    case 4: {
      const Meant a = below();
      const Meant b = below();
      return {pool.either(a.expr, b.expr),
              [a, b](auto text) { return a.holds(text) || b.holds(text); }};
    }
    case 5: {
      const Meant a = below();
      const Meant b = below();
      return {pool.both(a.expr, b.expr),
              [a, b](auto text) { return a.holds(text) && b.holds(text); }};
    }
    case 6: {
      const Meant a = below();
      return {pool.complement(a.expr), [a](auto text) { return !a.holds(text); }};
    }
    default: {
      const Meant a = below();
      const auto min = static_cast<uint32_t>(random() % 3);
      const uint32_t max =
          random() % 2 == 0 ? kUnbounded : min + static_cast<uint32_t>(random() % 3);
      return {pool.repeat(a.expr, min, max),
              [a, min, max](auto text) { return in_pieces(a, min, max, text, 0); }};
    }
  }
}

TEST(RegexPool, RandomExpressionsHaveTheTextsTheyMean) {
  std::mt19937 random(1);
  const std::vector<std::string> texts = all_texts();
  int64_t held = 0;
  for (int round = 0; round < 300; ++round) {
    auto pool = std::make_unique<RegexPool>();
    const Meant meant = random_meant(*pool, random, 3);
    LazyDfa dfa(std::move(pool), {});
    const StateId start = dfa.state_of(meant.expr);
    for (const std::string& text : texts) {
      StateId state = start;
      for (const char c : text) {
        state = dfa.step(state, static_cast<uint8_t>(c));
      }
      ASSERT_EQ(dfa.accepts(state), meant.holds(text)) << round << ": \"" << text << '"';
      held += dfa.accepts(state) ? 1 : 0;
    }
  }
  EXPECT_GT(held, 1000);
}

TEST(RegexPool, StatesFromWhichNoTextIsReachedAreDead) {
  auto pool = std::make_unique<RegexPool>();
  const ExprId letter = pool->bytes(ByteSet::range('a', 'b'));
  const ExprId letters = pool->repeat(letter, 2, 3);
  // Two or three letters, of which the last is a and the first b, without an a before the end.
  const ExprId parts[] = {letters,
                          pool->concat(pool->literal("b"), RegexPool::kAnything),
                          pool->concat(RegexPool::kAnything, pool->literal("a"))};
  const ExprId expr = pool->both(parts);
  LazyDfa dfa(std::move(pool), {});
  const StateId start = dfa.state_of(expr);
  EXPECT_EQ(dfa.step(start, 'a'), kDeadState);
  const StateId b = dfa.step(start, 'b');
  const StateId bb = dfa.step(b, 'b');
  EXPECT_NE(bb, kDeadState);
  EXPECT_EQ(dfa.step(bb, 'b'), kDeadState);  // a fourth would be needed
  EXPECT_TRUE(dfa.accepts(dfa.step(bb, 'a')));
}

TEST(RegexPool, ManyChoicesAreMatchedByTheirBeginnings) {
  RegexPool pool;
  std::vector<std::string> texts;
  for (int i = 0; i < 20000; ++i) {
    texts.push_back("value-" + std::to_string(i * 7));
  }
  const ExprId expr = pool.any_of({texts.begin(), texts.end()});
  EXPECT_TRUE(pool.matches(expr, "value-70"));
  EXPECT_FALSE(pool.matches(expr, "value-71"));
  EXPECT_FALSE(pool.matches(expr, "value-"));
}

TEST(RegexPool, ABudgetEndsWhatGrowsWithoutBound) {
  auto pool = std::make_unique<RegexPool>();
  // The letter 40 places before the end is an a: 2^40 states.
  const ExprId letter = pool->bytes(ByteSet::range('a', 'b'));
  const ExprId parts[] = {
      pool->repeat(letter, 0, kUnbounded), pool->literal("a"), pool->repeat(letter, 40, 40)};
  const ExprId expr = pool->concat(parts);
  GrammarBudget budget;
  budget.dfa_states = 1000;
  LazyDfa dfa(std::move(pool), budget);
  StateId state = dfa.state_of(expr);
  std::mt19937 random(1);
  for (int i = 0; i < 100000 && !dfa.exhausted(); ++i) {
    state = dfa.step(state, random() % 2 == 0 ? 'a' : 'b');
  }
  EXPECT_TRUE(dfa.exhausted());
}

}  // namespace
}  // namespace tutti::grammar
