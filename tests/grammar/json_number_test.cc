#include "grammar/json_number.h"

#include <random>

#include <gtest/gtest.h>

namespace tutti::grammar {
namespace {

Decimal decimal(const std::string& text) {
  return *Decimal::of(*parse_json(text));
}

// Thousandths, so that comparing is exact.
std::string written(int64_t thousandths) {
  const int64_t size = thousandths < 0 ? -thousandths : thousandths;
  std::string out = (thousandths < 0 ? "-" : "") + std::to_string(size / 1000);
  if (size % 1000 != 0) {
    std::string digits = std::to_string(1000 + size % 1000).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    out += "." + digits;
  }
  return out;
}

TEST(Decimal, IsTheNumberAsWritten) {
  EXPECT_EQ(decimal("-0.0").zero(), true);
  EXPECT_EQ(decimal("-0.0").negative, false);
  EXPECT_EQ(decimal("12.50").whole, "12");
  EXPECT_EQ(decimal("12.50").fraction, "5");
  EXPECT_EQ(decimal("1e3").whole, "1000");
  EXPECT_EQ(decimal("25e-3").fraction, "025");
  EXPECT_EQ(decimal("9223372036854775807").whole, "9223372036854775807");
}

TEST(NumberWithin, HasExactlyTheNumbersBetween) {
  std::mt19937 random(5);
  int64_t inside = 0;
  for (int round = 0; round < 400; ++round) {
    const auto draw = [&](int64_t most) {
      return static_cast<int64_t>(random() % static_cast<uint64_t>(2 * most + 1)) - most;
    };
    const int64_t most = round % 2 == 0 ? 3000 : 250000;
    NumberBounds bounds{.integer = random() % 2 == 0};
    const bool has_min = random() % 4 != 0;
    const bool has_max = random() % 4 != 0;
    const int64_t low = draw(most);
    const int64_t high = low + static_cast<int64_t>(random() % static_cast<uint64_t>(most));
    if (has_min) {
      bounds.at_least(decimal(written(low)), random() % 2 == 0);
    }
    if (has_max) {
      bounds.at_most(decimal(written(high)), random() % 2 == 0);
    }
    RegexPool pool;
    const ExprId expr = number_within(pool, bounds);
    for (int i = 0; i < 200; ++i) {
      const int64_t value = i < 20 ? low + i - 10 : i < 40 ? high + i - 30 : draw(most + 500);
      const std::string text = written(value);
      const bool fits = (!bounds.integer || value % 1000 == 0) &&
                        (!has_min || (bounds.min_excluded ? value > low : value >= low)) &&
                        (!has_max || (bounds.max_excluded ? value < high : value <= high));
      ASSERT_EQ(pool.matches(expr, text), fits)
          << text << " in " << (has_min ? written(low) : "") << " to "
          << (has_max ? written(high) : "") << (bounds.integer ? " integer" : "");
      inside += fits ? 1 : 0;
      if (!bounds.integer && fits && text.find('.') != std::string::npos) {
        ASSERT_TRUE(pool.matches(expr, text + "00"));
      }
    }
  }
  EXPECT_GT(inside, 10000);
}

TEST(NumberWithin, WithoutBoundsTakesJsonsNumbersAndNothingElse) {
  RegexPool pool;
  const ExprId any = number_within(pool, {});
  for (const char* good : {"0", "-0", "12", "-1.5", "1e5", "1E-7", "0.25e+3"}) {
    EXPECT_TRUE(pool.matches(any, good)) << good;
  }
  for (const char* bad : {"", "-", "01", "+1", ".5", "1.", "1e", "0x1", "NaN", "1 "}) {
    EXPECT_FALSE(pool.matches(any, bad)) << bad;
  }
}

TEST(MultiplesOf, CountInTheSmallestPlace) {
  for (const auto& [step, thousandths] :
       {std::pair{"7", 7000}, {"0.25", 250}, {"1.5", 1500}, {"0.001", 1}}) {
    RegexPool pool;
    const auto made = multiples_of(pool, decimal(step));
    ASSERT_TRUE(made.ok());
    const ExprId expr = pool.both(*made, number_within(pool, {}));
    for (int64_t value = -20000; value <= 20000; value += 25) {
      EXPECT_EQ(pool.matches(expr, written(value)), value % thousandths == 0)
          << written(value) << " of " << step;
    }
  }
  RegexPool pool;
  EXPECT_FALSE(multiples_of(pool, decimal("123456789")).ok());
  EXPECT_FALSE(multiples_of(pool, decimal("0.00001")).ok());
}

}  // namespace
}  // namespace tutti::grammar
