// Groups of ranks as the program makes them: several ranks of the CUDA backend, also on one GPU.
#include <thread>

#include <gmock/gmock.h>

#include "cuda/cuda_testing.h"

namespace tutti::test {
namespace {

using ::testing::HasSubstr;

// Rank r brings r + 1 to each sum.
std::vector<float> sum_on(RankResources& rank, int64_t count, int rounds) {
  std::vector<float> values(usize(count), static_cast<float>(rank.tp->rank() + 1));
  const int64_t bytes = count * 4;
  const Buffer buffer = Buffer::allocate(*rank.device, bytes, "ranks test").value();
  EXPECT_TRUE(rank.device->copy_from_host(buffer.data(), values.data(), bytes, *rank.stream).ok());
  EXPECT_TRUE(rank.stream->synchronize().ok());
  rank.tp->barrier();  // nobody allocates while a peer waits on the device
  for (int i = 0; i < rounds; ++i) {
    rank.tp->all_reduce_sum({buffer.data(), DType::kF32, {count}});
  }
  EXPECT_TRUE(rank.stream->synchronize().ok());
  EXPECT_TRUE(rank.device->copy_to_host(values.data(), buffer.data(), bytes, *rank.stream).ok());
  EXPECT_TRUE(rank.stream->synchronize().ok());
  rank.tp->barrier();
  return values;
}

TEST(CudaRanks, SumsAtEveryDegree) {
  for (const int n : {1, 2, 3, 4, 5, 6, 7, 8}) {
    TUTTI_NEEDS_GPU(backend, {.ranks = n});
    auto made = backend.make_ranks({.ranks = n});
    ASSERT_TRUE(made.ok()) << made.status().message();
    RankSet& set = *made.value();
    ASSERT_EQ(static_cast<int>(set.ranks().size()), n);
    std::vector<std::jthread> threads;
    for (int r = 0; r < n; ++r) {
      threads.emplace_back([&, r] {
        RankResources& rank = set.ranks()[usize(r)];
        EXPECT_EQ(rank.tp->rank(), r);
        EXPECT_EQ(rank.tp->size(), n);
        const float want = static_cast<float>(n * (n + 1) / 2);
        EXPECT_THAT(sum_on(rank, 1000, 1), ::testing::Each(want));
        // The second sum adds n equal values.
        EXPECT_THAT(sum_on(rank, 100'000, 2), ::testing::Each(want * static_cast<float>(n)));
      });
    }
    threads.clear();
    EXPECT_TRUE(set.health().ok()) << set.health().message();
  }
}

TEST(CudaRanks, AbsentRankMakesTheSetUnhealthy) {
  TUTTI_NEEDS_GPU(backend, {.ranks = 2});
  auto made =
      backend.make_ranks({.ranks = 2, .collective_timeout = std::chrono::milliseconds(300)});
  ASSERT_TRUE(made.ok()) << made.status().message();
  RankSet& set = *made.value();
  EXPECT_TRUE(set.health().ok());
  RankResources& rank = set.ranks()[0];
  const Buffer buffer = Buffer::allocate(*rank.device, 28'672, "ranks test").value();
  rank.tp->all_reduce_sum({buffer.data(), DType::kBF16, {14'336}});
  EXPECT_TRUE(rank.stream->synchronize().ok());
  EXPECT_EQ(set.health().code(), StatusCode::kDevice);
  EXPECT_THAT(set.health().message(), HasSubstr("all_reduce_sum (28,672 bytes): rank 0 waited 3"));
  EXPECT_THAT(set.health().message(), HasSubstr("for rank 1, which did not arrive"));
  EXPECT_THROW(rank.tp->all_reduce_sum({buffer.data(), DType::kBF16, {1}}), DeviceError);
}

}  // namespace
}  // namespace tutti::test
