#include "base/check.h"

#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/checked.h"

namespace tutti {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

struct Failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class CheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    old_ = set_check_handler([](const std::string& message) { throw Failed(message); });
  }

  void TearDown() override { set_check_handler(old_); }

  template <class F>
  static std::string message(F f) {
    try {
      f();
    } catch (const Failed& e) {
      return e.what();
    }
    return "passed";
  }

 private:
  CheckHandler old_ = nullptr;
};

enum class Colour { kRed, kBlue };

struct Opaque {
  bool operator==(const Opaque&) const { return false; }
};

TEST_F(CheckTest, PassingChecksDoNothing) {
  EXPECT_EQ(message([] {
              TUTTI_CHECK(1 + 1 == 2);
              TUTTI_CHECK_MSG(true, "{}", 1);
              TUTTI_CHECK_EQ(2, 2);
              TUTTI_CHECK_LT(1, 2);
            }),
            "passed");
}

TEST_F(CheckTest, MessagesShowFileConditionAndOperands) {
  EXPECT_THAT(message([] { TUTTI_CHECK(2 < 1); }), HasSubstr("check_test.cc"));
  EXPECT_THAT(message([] { TUTTI_CHECK(2 < 1); }), EndsWith("2 < 1"));
  EXPECT_THAT(message([] { TUTTI_CHECK_MSG(false, "layer {}", 3); }), EndsWith("false: layer 3"));
  const int rows = 3;
  EXPECT_THAT(message([&] { TUTTI_CHECK_EQ(rows, 4); }), EndsWith("rows == 4 (3 vs 4)"));
  EXPECT_THAT(message([&] { TUTTI_CHECK_NE(rows, 3); }), EndsWith("rows != 3 (3 vs 3)"));
  EXPECT_THAT(message([&] { TUTTI_CHECK_GT(rows, 3); }), EndsWith("rows > 3 (3 vs 3)"));
  EXPECT_THAT(message([&] { TUTTI_CHECK_GE(rows, 4); }), EndsWith("rows >= 4 (3 vs 4)"));
  EXPECT_THAT(message([&] { TUTTI_CHECK_LE(rows, 2); }), EndsWith("rows <= 2 (3 vs 2)"));
  EXPECT_THAT(message([] { TUTTI_CHECK_EQ(Colour::kRed, Colour::kBlue); }), EndsWith("(0 vs 1)"));
  EXPECT_THAT(message([] { TUTTI_CHECK_EQ(Opaque(), Opaque()); }), EndsWith("(? vs ?)"));
}

TEST_F(CheckTest, OperandsAreEvaluatedOnce) {
  int calls = 0;
  TUTTI_CHECK_EQ(++calls, 1);
  EXPECT_EQ(calls, 1);
}

TEST_F(CheckTest, ScopesNestAndEnd) {
  EXPECT_EQ(scope_trace(), "");
  const TraceScope step("engine step", 42);
  {
    const TraceScope layer("layer", 0);
    const TraceScope op("linear");
    EXPECT_EQ(scope_trace(), "engine step 42 / layer 0 / linear");
    EXPECT_THAT(message([] { TUTTI_CHECK(false); }),
                EndsWith(" in engine step 42 / layer 0 / linear"));
  }
  EXPECT_EQ(scope_trace(), "engine step 42");
  std::string other;
  std::thread([&other] { other = scope_trace(); }).join();
  EXPECT_EQ(other, "") << "a trace belongs to its thread";
}

TEST_F(CheckTest, NarrowRefusesLoss) {
  EXPECT_EQ(narrow<int32_t>(int64_t{INT32_MAX}), INT32_MAX);
  EXPECT_THAT(message([] { narrow<int32_t>(int64_t{INT32_MAX} + 1); }), HasSubstr("does not fit"));
  EXPECT_THAT(message([] { usize(-1); }), HasSubstr("-1 does not fit"));
  EXPECT_THAT(message([] { ssize(SIZE_MAX); }), HasSubstr("does not fit"));
}

TEST_F(CheckTest, CheckedArithmetic) {
  EXPECT_EQ(checked_mul<int64_t>(1 << 20, 1 << 20), int64_t{1} << 40);
  EXPECT_EQ(checked_mul<int64_t>(INT64_MAX, 2), std::nullopt);
  EXPECT_EQ(checked_add<int64_t>(INT64_MAX, 1), std::nullopt);
  EXPECT_EQ(checked_add<int64_t>(INT64_MAX, 0), INT64_MAX);
  EXPECT_EQ(checked_product({}), 1);
  const int64_t big[] = {int64_t{1} << 32, int64_t{1} << 31};
  EXPECT_EQ(checked_product(big), std::nullopt);
  EXPECT_EQ(ceil_div(0, 3), 0);
  EXPECT_EQ(ceil_div(4, 3), 2);
}

TEST(CheckDeathTest, AbortsWithoutAHandler) {
  EXPECT_DEATH(TUTTI_CHECK_EQ(1, 2), "tutti bug: check failed at .*1 == 2 \\(1 vs 2\\)");
}

}  // namespace
}  // namespace tutti
