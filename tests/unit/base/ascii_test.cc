#include "base/ascii.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(AsciiTest, LowersLettersAlone) {
  EXPECT_EQ(to_lower("GPU-0[Z]@{\xC3\x84"), "gpu-0[z]@{\xC3\x84");
  EXPECT_EQ(to_lower(""), "");
}

TEST(AsciiTest, TrimsBothEnds) {
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim(" \n "), "");
  EXPECT_EQ(trim(""), "");
  EXPECT_EQ(trim("\n x ", " "), "\n x");
}

}  // namespace
}  // namespace tutti
