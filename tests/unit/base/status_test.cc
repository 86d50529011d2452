#include "base/status.h"

#include <set>

#include <gtest/gtest.h>

namespace tutti {
namespace {

constexpr int kCodes = static_cast<int>(StatusCode::kInternal) + 1;

TEST(StatusTest, EveryCodeHasItsOwnRow) {
  std::set<std::string> names;
  for (int i = 0; i < kCodes; ++i) {
    const auto code = static_cast<StatusCode>(i);
    const StatusMapping& m = mapping(code);
    EXPECT_EQ(m.code, code) << "no row for code " << i;
    EXPECT_TRUE(names.insert(m.name).second) << m.name;
    if (code == StatusCode::kOk) {
      EXPECT_EQ(m.http_status, 200);
      EXPECT_EQ(m.exit_code, 0);
    } else {
      EXPECT_GE(m.http_status, 400) << m.name;
      EXPECT_LT(m.http_status, 600) << m.name;
      EXPECT_NE(std::string(m.openai_type), "") << m.name;
      EXPECT_GT(m.exit_code, 0) << m.name;
      EXPECT_LT(m.exit_code, 256) << m.name;
    }
  }
}

TEST(StatusTest, CodesThatClientsRelyOn) {
  EXPECT_EQ(mapping(StatusCode::kInvalidArgument).http_status, 400);
  EXPECT_EQ(mapping(StatusCode::kInvalidArgument).exit_code, 64);
  EXPECT_EQ(mapping(StatusCode::kUnauthenticated).http_status, 401);
  EXPECT_EQ(mapping(StatusCode::kOverloaded).http_status, 429);
  EXPECT_EQ(mapping(StatusCode::kPayloadTooLarge).http_status, 413);
  EXPECT_EQ(mapping(StatusCode::kCancelled).exit_code, 130);
  EXPECT_EQ(mapping(static_cast<StatusCode>(999)).code, StatusCode::kInternal);
}

TEST(StatusTest, ContextAndParam) {
  const Status status =
      invalid("got {}", 3).with_context("a.json").with_context("model").with_param("n");
  EXPECT_EQ(status.message(), "model: a.json: got 3");
  EXPECT_EQ(status.param(), "n");
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(ok_status().ok());
}

Result<std::unique_ptr<int>> make(bool good) {
  if (!good) {
    return error(StatusCode::kNotFound, "none");
  }
  return std::make_unique<int>(7);
}

Status use(bool good, int* out) {
  TUTTI_RETURN_IF_ERROR(make(true).status());
  TUTTI_TRY(const std::unique_ptr<int> value, make(good));
  *out = *value;
  return ok_status();
}

TEST(StatusTest, TryReturnsTheErrorOrTheValue) {
  int value = 0;
  EXPECT_TRUE(use(true, &value).ok());
  EXPECT_EQ(value, 7);
  const Status status = use(false, &value);
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "none");
  EXPECT_TRUE(make(true).status().ok());
}

}  // namespace
}  // namespace tutti
