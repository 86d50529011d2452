#include "base/units.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(UnitsTest, ParsesSizes) {
  const std::pair<const char*, int64_t> cases[] = {
      {"0", 0},
      {"4096", 4096},
      {"10b", 10},
      {"512M", int64_t{512} << 20},
      {"512MiB", int64_t{512} << 20},
      {"2GiB", int64_t{2} << 30},
      {"2 gib", int64_t{2} << 30},
      {"1.5 g", 3 * (int64_t{1} << 29)},
      {"1.5GB", 1'500'000'000},
      {"3k", 3072},
      {"3kB", 3000},
      {"1T", int64_t{1} << 40},
      {"1TiB", int64_t{1} << 40},
  };
  for (const auto& [text, bytes] : cases) {
    const Result<int64_t> got = parse_bytes(text);
    ASSERT_TRUE(got.ok()) << text << ": " << got.status().message();
    EXPECT_EQ(*got, bytes) << text;
  }
}

TEST(UnitsTest, RefusesWhatIsNoSize) {
  for (const char* text : {"",
                           " ",
                           "G",
                           "GiB",
                           "-1",
                           "-1G",
                           "1x",
                           "1KK",
                           "1GiBs",
                           "1 2",
                           "1,5G",
                           "nan",
                           "inf",
                           "infinity",
                           "1e30",
                           "10000000T",
                           "1P"}) {
    const Result<int64_t> got = parse_bytes(text);
    ASSERT_FALSE(got.ok()) << text << " gave " << *got;
    EXPECT_EQ(got.status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(got.status().message(),
              fmt::format("\"{}\" is not a size; write for example 512MiB, 2GiB or 4096", text));
  }
}

TEST(UnitsTest, FormatsSizesAndTimes) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(int64_t{5} << 40), "5.0 TiB");
  EXPECT_EQ(format_bytes(int64_t{5} << 50), "5120.0 TiB");
  EXPECT_EQ(format_bytes(-2048), "-2.0 KiB");
  EXPECT_EQ(format_seconds(0.0000005), "0.5 us");
  EXPECT_EQ(format_seconds(0.0123), "12.3 ms");
  EXPECT_EQ(format_seconds(2.0), "2.0 s");
}

}  // namespace
}  // namespace tutti
