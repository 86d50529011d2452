// Distances are counted by hand.
#include "base/nearest_word.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tutti {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(NearestWord, Distances) {
  EXPECT_EQ(typing_distance("", ""), 0);
  EXPECT_EQ(typing_distance("", "abc"), 3);
  EXPECT_EQ(typing_distance("serve", "serve"), 0);
  EXPECT_EQ(typing_distance("serv", "serve"), 1);
  EXPECT_EQ(typing_distance("serrve", "serve"), 1);
  EXPECT_EQ(typing_distance("sarve", "serve"), 1);
  EXPECT_EQ(typing_distance("sevre", "serve"), 1);
  EXPECT_EQ(typing_distance("kitten", "sitting"), 3);
  EXPECT_EQ(typing_distance("ca", "abc"), 3);  // a swapped pair is not opened again
  EXPECT_EQ(typing_distance("abc", "ca"), 3);
}

TEST(NearestWord, ClosestFirstAndOnlyClose) {
  const std::vector<std::string> known{"--context", "--port", "--host", "--p2p", "--contexts"};
  EXPECT_THAT(nearest_words("--contxt", known), ElementsAre("--context", "--contexts"));
  EXPECT_THAT(nearest_words("--prot", known), ElementsAre("--port"));
  EXPECT_THAT(nearest_words("--zebra", known), IsEmpty());
  EXPECT_THAT(nearest_words("", known), IsEmpty());
  EXPECT_THAT(nearest_words(std::string(100'000, 'x'), known), IsEmpty());
}

}  // namespace
}  // namespace tutti
