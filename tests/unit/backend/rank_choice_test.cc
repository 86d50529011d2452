// How many ranks on how many GPUs: what is chosen is legal, there, and the most; what contradicts
// itself is refused with something that works.
#include "backend/rank_choice.h"

#include <algorithm>
#include <regex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tutti {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

using Legal = std::vector<int>;

Result<RankChoice> choose(const RankWish& wish, const Legal& legal) {
  return choose_ranks(wish, [&legal] { return legal; });
}

void expect_refused(const RankWish& wish,
                    const Legal& legal,
                    const std::vector<std::string>& parts) {
  const auto choice = choose(wish, legal);
  ASSERT_FALSE(choice.ok()) << choice->ranks;
  EXPECT_EQ(choice.status().code(), StatusCode::kInvalidArgument);
  for (const std::string& part : parts) {
    EXPECT_THAT(choice.status().message(), HasSubstr(part));
  }
}

TEST(RankChoiceTest, AutoTakesAllThatTheModelCanUse) {
  const auto eight = choose({.gpus = 8}, {1, 2, 4, 8, 16});
  EXPECT_EQ(eight->ranks, 8);
  EXPECT_EQ(eight->gpus, 8);
  EXPECT_EQ(eight->left_out, "");
  const auto six = choose({.gpus = 6}, {1, 2, 4, 8});
  EXPECT_EQ(six->ranks, 4);
  EXPECT_EQ(six->gpus, 4);
  EXPECT_EQ(six->left_out,
            "of the rank counts of this model (1, 2, 4, 8) 4 is the largest for 6 GPUs");
  EXPECT_EQ(choose({.gpus = 6}, {1, 2, 3, 6})->ranks, 6);
}

TEST(RankChoiceTest, TpTakesTheFirstGpus) {
  const auto two = choose({.tp = 2, .gpus = 8}, {1, 2, 4, 8});
  EXPECT_EQ(two->ranks, 2);
  EXPECT_EQ(two->gpus, 2);
  EXPECT_EQ(two->left_out, "‹tp› 2 takes 2 GPUs");
  expect_refused({.tp = 4, .gpus = 2}, {1, 2, 4}, {"‹tp› 4: wants 4 GPUs, there are 2", "‹tp› 2"});
  expect_refused(
      {.tp = 2, .gpus = 1}, {1, 2, 4}, {"wants 2 GPUs, there is 1", "‹ranks_per_gpu› 2"});
  expect_refused({.tp = 3, .gpus = 8}, {1, 2, 4}, {"‹tp› 3", "legal: 1, 2, 4"});
}

TEST(RankChoiceTest, NamedGpusAreUsedOrRefused) {
  EXPECT_EQ(choose({.gpus = 4, .gpus_typed = "all"}, {1, 2, 4, 8})->gpus, 4);
  expect_refused({.gpus = 3, .gpus_typed = "3"},
                 {1, 2, 4, 8},
                 {"‹gpus› 3: 3 GPUs take 3 ranks", "legal: 1, 2, 4, 8", "type ‹gpus› 2"});
  expect_refused({.gpus = 3, .gpus_typed = "0,5,6"}, {1, 2, 4}, {"type 2 of them in ‹gpus›"});
  EXPECT_EQ(choose({.tp = 4, .gpus = 4, .gpus_typed = "4"}, {1, 2, 4})->ranks, 4);
  expect_refused({.tp = 2, .gpus = 4, .gpus_typed = "4"},
                 {1, 2, 4},
                 {"‹gpus› 4 ‹tp› 2: 4 GPUs take 4 ranks", "‹tp› 4", "‹gpus› 2"});
  expect_refused(
      {.tp = 4, .gpus = 2, .gpus_typed = "0,1"}, {1, 2, 4}, {"‹tp› 2", "‹ranks_per_gpu› 2"});
}

TEST(RankChoiceTest, SeveralRanksOnAGpu) {
  const auto one = choose({.tp = 4, .gpus = 1, .ranks_per_gpu = 4}, {1, 2, 4, 8});
  EXPECT_EQ(one->ranks, 4);
  EXPECT_EQ(one->gpus, 1);
  EXPECT_EQ(one->left_out, "");
  EXPECT_EQ(choose({.gpus = 2, .ranks_per_gpu = 2}, {1, 2, 4, 8})->ranks, 4);
  expect_refused({.tp = 3, .gpus = 2, .ranks_per_gpu = 2}, {1, 2, 3, 4}, {"a multiple of 2"});
  expect_refused({.gpus = 2, .ranks_per_gpu = 3}, {1, 2, 4}, {"‹ranks_per_gpu› 3", "1, 2, 4"});
  expect_refused(
      {.gpus = 1, .gpus_typed = "1", .ranks_per_gpu = 3}, {1, 2, 4}, {"‹ranks_per_gpu› 1"});
}

TEST(RankChoiceTest, OneGpuAsksNobody) {
  bool asked = false;
  const auto choice = choose_ranks({.gpus = 1}, [&asked] {
    asked = true;
    return Legal{1};
  });
  EXPECT_EQ(choice->ranks, 1);
  EXPECT_FALSE(asked);
}

// A model that declares itself wrongly at every count has no legal ones; its own error tells more.
TEST(RankChoiceTest, ABrokenModelIsNotRefusedHere) {
  for (const int tp : {0, 1, 2}) {
    for (const char* gpus : {"auto", "2"}) {
      const auto choice = choose({.tp = tp, .gpus = 2, .gpus_typed = gpus}, {});
      EXPECT_TRUE(choice.ok() || (tp == 1 && std::string(gpus) == "2")) << tp << " " << gpus;
    }
  }
}

// All small machines, flags and models.
class EveryWish : public ::testing::Test {
 protected:
  template <class F>
  static void for_all(const F& f) {
    for (unsigned bits = 0; bits < 128; ++bits) {
      Legal legal{1};
      for (int ranks = 2; ranks <= 8; ++ranks) {
        if ((bits >> (ranks - 2) & 1U) != 0) {
          legal.push_back(ranks);
        }
      }
      for (int gpus = 1; gpus <= 8; ++gpus) {
        for (int per_gpu = 1; per_gpu <= 4; ++per_gpu) {
          for (int tp = 0; tp <= 9; ++tp) {
            for (const std::string& typed :
                 {std::string("auto"), std::string("all"), std::to_string(gpus)}) {
              const RankWish wish{
                  .tp = tp, .gpus = gpus, .gpus_typed = typed, .ranks_per_gpu = per_gpu};
              SCOPED_TRACE(fmt::format("‹tp› {} ‹gpus› {} of {} ‹ranks_per_gpu› {}, legal {}",
                                       tp,
                                       typed,
                                       gpus,
                                       per_gpu,
                                       fmt::join(legal, " ")));
              f(wish, legal, choose(wish, legal));
              if (::testing::Test::HasFailure()) {
                return;
              }
            }
          }
        }
      }
    }
  }

  static bool contains(const Legal& legal, int ranks) {
    return std::find(legal.begin(), legal.end(), ranks) != legal.end();
  }

  // What --gpus and --tp allow, by definition.
  static bool allowed(const RankWish& wish, const Legal& legal, int gpus) {
    const int ranks = gpus * wish.ranks_per_gpu;
    return contains(legal, ranks) && (wish.tp == 0 || wish.tp == ranks) &&
           (wish.gpus_typed == "auto" || gpus == wish.gpus);
  }
};

TEST_F(EveryWish, TheMostThatIsAllowedIsChosen) {
  int chosen = 0;
  int refused = 0;
  for_all([&](const RankWish& wish, const Legal& legal, const Result<RankChoice>& choice) {
    int most = 0;
    for (int gpus = 1; gpus <= wish.gpus; ++gpus) {
      most = allowed(wish, legal, gpus) ? gpus : most;
    }
    ASSERT_EQ(choice.ok(), most > 0) << choice.status().message();
    ++(choice.ok() ? chosen : refused);
    if (choice.ok()) {
      ASSERT_EQ(choice->gpus, most);
      ASSERT_EQ(choice->ranks, most * wish.ranks_per_gpu);
      ASSERT_EQ(choice->left_out.empty(), most == wish.gpus) << choice->left_out;
    }
  });
  EXPECT_GT(chosen, 10000);
  EXPECT_GT(refused, 10000);
}

// Every "--gpus N" and "--tp N" that a refusal tells to type works when it is typed instead.
TEST_F(EveryWish, WhatARefusalSaysToTypeWorks) {
  int tried = 0;
  for_all([&](const RankWish& wish, const Legal& legal, const Result<RankChoice>& choice) {
    if (choice.ok()) {
      return;
    }
    const std::string& message = choice.status().message();
    const size_t begin = message.find("type ‹");
    std::string advice = begin == std::string::npos ? "" : message.substr(begin);
    static const std::regex kAdvice("‹(gpus|tp)› ([0-9]+)");
    for (std::smatch match; std::regex_search(advice, match, kAdvice); advice = match.suffix()) {
      RankWish other = wish;
      if (match[1] == "gpus") {
        other.gpus = std::stoi(match[2]);
        other.gpus_typed = match[2];
      } else {
        other.tp = std::stoi(match[2]);
      }
      const auto better = choose(other, legal);
      ASSERT_TRUE(better.ok()) << message << "\n" << better.status().message();
      ++tried;
    }
  });
  EXPECT_GT(tried, 10000);
}

}  // namespace
}  // namespace tutti
