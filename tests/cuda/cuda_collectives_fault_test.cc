// Ranks that do not come, and groups that are given up: who waited for whom is said within the
// time-out, nothing hangs, memory comes back, and a new group works.
#include <gmock/gmock.h>

#include "cuda/peer_world.h"

namespace tutti::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

constexpr milliseconds kTimeout{400};
constexpr milliseconds kSoon{10'000};  // that the machine is busy must not fail a test

class CudaCollectivesFault : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!nvidia_device_present("/")) {
      GTEST_SKIP() << "this machine shows no NVIDIA GPU";
    }
  }

  static std::unique_ptr<PeerWorld> world(int ranks, milliseconds timeout) {
    return std::make_unique<PeerWorld>(WorldOptions{.ranks = ranks,
                                                    .direct = GetParam(),
                                                    .buffer_bytes = int64_t{16} << 20,
                                                    .timeout = timeout});
  }

  static int64_t free_bytes() {
    size_t free = 0;
    size_t total = 0;
    EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
    return ssize(free);
  }
};

INSTANTIATE_TEST_SUITE_P(Mailboxes, CudaCollectivesFault, ::testing::Bool());

TEST_P(CudaCollectivesFault, AbsentRankIsNamed) {
  struct Case {
    Call call;
    const char* what;
  };

  const Case cases[] = {
      {{.widths = {7168}, .by = PeerAlgorithm::kFlagged}, "all_reduce_sum (28,672 bytes): rank "},
      {{.widths = {7168}, .by = PeerAlgorithm::kPush}, "all_reduce_sum (28,672 bytes): rank "},
      {{.widths = {2'000'000}, .by = PeerAlgorithm::kTwoShot},
       "all_reduce_sum (8,000,000 bytes): rank "},
      {{.kind = Call::Kind::kGather, .widths = {0, 100, 300}},
       "all_gather_columns (1,200 bytes): rank "},
      {{.kind = Call::Kind::kBroadcast, .widths = {5}, .root = 0}, "broadcast (5 bytes): rank "},
  };
  constexpr int kAbsent = 2;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.call.describe());
    auto ranks = world(3, kTimeout);
    ranks->check({{.widths = {64}, .seed = 1}});  // all is well until then
    const auto begun = steady_clock::now();
    ranks->run([&](int r) {
      if (r != kAbsent) {
        ranks->upload(r, c.call);
        ranks->queue(r, c.call);
        for (int i = 0; i < 20; ++i) {  // these end at once
          ranks->queue(r, {.widths = {1000}, .by = PeerAlgorithm::kPush});
        }
        EXPECT_TRUE(ranks->rank(r).stream->synchronize().ok());
      }
    });
    const auto took = steady_clock::now() - begun;
    EXPECT_GE(took, kTimeout);
    EXPECT_LT(took, kTimeout + kSoon);
    const Status health = ranks->group().health();
    EXPECT_EQ(health.code(), StatusCode::kDevice);
    EXPECT_THAT(health.message(), HasSubstr(c.what));
    EXPECT_THAT(health.message(), HasSubstr("for rank 2, which did not arrive"));
    EXPECT_THROW(ranks->queue(kAbsent, c.call), DeviceError);
  }
}

TEST_P(CudaCollectivesFault, AbortEndsWaiting) {
  auto ranks = world(2, milliseconds{600'000});
  const auto begun = steady_clock::now();
  ranks->run([&](int r) {
    if (r == 0) {
      ranks->queue(0, {.widths = {100'000}});
      EXPECT_TRUE(ranks->rank(0).stream->synchronize().ok());
    } else {
      std::this_thread::sleep_for(milliseconds{100});
      ranks->group().abort("somebody pulled the plug");
    }
  });
  EXPECT_LT(steady_clock::now() - begun, kSoon);
  EXPECT_EQ(ranks->group().health().code(), StatusCode::kDevice);
  EXPECT_THAT(ranks->group().health().message(), HasSubstr("somebody pulled the plug"));
  try {
    ranks->queue(1, {.widths = {1}});
    ADD_FAILURE() << "a collective after abort() went on";
  } catch (const DeviceError& e) {
    EXPECT_THAT(e.what(), HasSubstr("somebody pulled the plug"));
  }
  EXPECT_THROW(ranks->rank(0).comm->barrier(), DeviceError);
}

TEST_P(CudaCollectivesFault, MemoryComesBackAndANewGroupWorks) {
  int64_t free_before = 0;
  for (int round = 0; round < 3; ++round) {
    {
      auto ranks = world(2, milliseconds{600'000});
      ranks->queue(0, {.widths = {100'000}});  // nobody else comes, and nobody waits for it here
    }
    if (round == 0) {
      free_before = free_bytes();  // what CUDA keeps for itself it has by now
    }
  }
  EXPECT_GE(free_bytes() + (int64_t{4} << 20), free_before);
  auto ranks = world(2, milliseconds{20'000});
  ranks->check({{.type = DType::kBF16, .widths = {3584}, .seed = 5}});
}

TEST_P(CudaCollectivesFault, MoreRanksThanAGroupHas) {
  const auto gpus = cuda::probe_cuda_devices({}).value();
  const auto group =
      cuda::PeerGroup::create({.placement = std::vector<cuda::CudaDeviceInfo>(9, gpus[0])});
  ASSERT_FALSE(group.ok());
  EXPECT_EQ(group.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(group.status().message(), HasSubstr("9 ranks"));
}

}  // namespace
}  // namespace tutti::test
