// The same collectives with the blocks of all ranks in one grid, for compute-sanitizer, which runs
// one kernel at a time. Run alone: --gtest_filter=*OneLaunch*
#include "cuda/peer_world.h"

namespace tutti::test {
namespace {

struct Group {
  int ranks;
  bool direct;  // or mailboxes in the host's memory, where large sums go another way
};

class CudaCollectivesOneLaunch : public ::testing::TestWithParam<Group> {
 protected:
  void SetUp() override {
    if (!nvidia_device_present("/")) {
      GTEST_SKIP() << "this machine shows no NVIDIA GPU";
    }
    ranks_ = std::make_unique<PeerWorld>(WorldOptions{.ranks = GetParam().ranks,
                                                      .direct = GetParam().direct,
                                                      .buffer_bytes = int64_t{12} << 20,
                                                      .timeout = std::chrono::minutes(5)});
  }

  void prepare(const Call& call) {
    for (int r = 0; r < ranks_->size(); ++r) {
      ranks_->upload(r, call);
      ASSERT_TRUE(ranks_->rank(r).stream->synchronize().ok());
    }
  }

  void finish(const Call& call, cudaError_t launched) {
    ASSERT_EQ(launched, cudaSuccess);
    ASSERT_TRUE(ranks_->rank(0).stream->synchronize().ok());
    const Status health = ranks_->group().health();
    ASSERT_TRUE(health.ok()) << health.message();
    const Bytes expected = expected_of(call, ranks_->size());
    for (int r = 0; r < ranks_->size(); ++r) {
      ranks_->compare(r, call, expected);
    }
  }

  cudaStream_t stream() { return ranks_->rank(0).stream->handle(); }

  void sum(const Call& call) {
    prepare(call);
    std::vector<cuda::PeerReduce> calls;
    for (int r = 0; r < ranks_->size(); ++r) {
      calls.push_back(
          {.peer = ranks_->group().endpoint(r),
           .x = ranks_->input(r, call),
           .count = call.widths[0],
           .type = call.type == DType::kF32 ? cuda::ElementType::kF32 : cuda::ElementType::kBF16});
    }
    finish(call, cuda::peer_all_reduce_together(calls.data(), *call.by, stream()));
  }

  // Also exchanges, and broadcasts: see PeerCommunicator.
  void gather(const Call& call) {
    prepare(call);
    const bool broadcast = call.kind == Call::Kind::kBroadcast;
    std::vector<cuda::PeerGather> calls;
    for (int r = 0; r < ranks_->size(); ++r) {
      cuda::PeerGather one{.peer = ranks_->group().endpoint(r),
                           .element_bytes = broadcast ? 1 : 4,
                           .in = ranks_->input(r, call),
                           .in_stride = call.widths[broadcast ? 0 : usize(r)],
                           .out = ranks_->result(r, call),
                           .out_stride = call.total_width(),
                           .rows = call.rows};
      int64_t offset = 0;
      for (size_t p = 0; p < call.widths.size(); ++p) {
        const size_t sender = broadcast ? usize(call.root) : p;
        one.width[sender] = call.widths[p];
        one.offset[sender] = offset;
        offset += call.widths[p];
      }
      calls.push_back(one);
    }
    finish(call,
           call.kind == Call::Kind::kExchange
               ? cuda::peer_exchange_rows_together(calls.data(), stream())
               : cuda::peer_gather_together(calls.data(), *call.by, stream()));
  }

  std::unique_ptr<PeerWorld> ranks_;
};

INSTANTIATE_TEST_SUITE_P(Groups,
                         CudaCollectivesOneLaunch,
                         ::testing::Values(Group{2, true},
                                           Group{3, true},
                                           Group{8, true},
                                           Group{2, false},
                                           Group{3, false}),
                         [](const auto& test) {
                           return fmt::format("{}Ranks{}",
                                              test.param.ranks,
                                              test.param.direct ? "Direct" : "HostMemory");
                         });

TEST_P(CudaCollectivesOneLaunch, Sums) {
  for (const DType type : {DType::kF32, DType::kBF16}) {
    for (const PeerAlgorithm by :
         {PeerAlgorithm::kFlagged, PeerAlgorithm::kPush, PeerAlgorithm::kTwoShot}) {
      for (const int64_t count : {1, 7169, 40'001}) {
        sum({.type = type, .widths = {count}, .at = dtype_size(type), .by = by, .seed = 3});
      }
    }
  }
}

// Several pieces, so that both halves of a mailbox are used again within a launch.
TEST_P(CudaCollectivesOneLaunch, Pieces) {
  const int64_t count = (int64_t{10} << 20) / 4 + 1;
  sum({.widths = {count}, .by = PeerAlgorithm::kPush, .seed = 4});
  sum({.widths = {count}, .by = PeerAlgorithm::kTwoShot, .seed = 5});
}

TEST_P(CudaCollectivesOneLaunch, Exchanges) {
  std::vector<int64_t> widths(static_cast<size_t>(ranks_->size()), 24);
  for (const int64_t rows : {1, 5, 16}) {
    gather({.kind = Call::Kind::kExchange, .rows = rows, .widths = widths, .seed = 9});
  }
  widths[0] = 0;
  widths[1] = 7;
  gather({.kind = Call::Kind::kExchange, .rows = 5, .widths = widths, .seed = 10});
}

TEST_P(CudaCollectivesOneLaunch, GathersAndBroadcasts) {
  for (const PeerAlgorithm by : {PeerAlgorithm::kFlagged, PeerAlgorithm::kPush}) {
    std::vector<int64_t> widths(static_cast<size_t>(ranks_->size()), 24);
    gather({.kind = Call::Kind::kGather, .rows = 5, .widths = widths, .by = by, .seed = 6});
    widths[0] = 0;
    widths[1] = 7;
    gather({.kind = Call::Kind::kGather, .rows = 5, .widths = widths, .by = by, .seed = 7});
    gather({.kind = Call::Kind::kBroadcast,
            .widths = {1001},
            .root = 1,
            .at = 1,
            .by = by,
            .seed = 8});
  }
}

}  // namespace
}  // namespace tutti::test
