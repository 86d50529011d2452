// Collectives between GPU ranks: every rank holds the bits that sums in the order of ranks give,
// whichever way the data travel, at any size and address, in graphs too.
#include <random>

#include <gmock/gmock.h>

#include "cuda/peer_world.h"

namespace tutti::test {
namespace {

constexpr PeerAlgorithm kAll[] = {
    PeerAlgorithm::kFlagged, PeerAlgorithm::kPush, PeerAlgorithm::kTwoShot};

int gpu_count() {
  const auto gpus = cuda::probe_cuda_devices({});
  EXPECT_TRUE(gpus.ok()) << gpus.status().message();
  return gpus.ok() ? static_cast<int>(gpus.value().size()) : 0;
}

enum class Place { kOneGpu, kHostMemory, kAllGpus };

struct Setting {
  int ranks;
  Place place;
};

std::string name_of(const ::testing::TestParamInfo<Setting>& info) {
  const char* place = info.param.place == Place::kOneGpu       ? "OneGpu"
                      : info.param.place == Place::kHostMemory ? "HostMemory"
                                                               : "AllGpus";
  return fmt::format("{}Ranks{}", info.param.ranks, place);
}

class CudaCollectives : public ::testing::TestWithParam<Setting> {
 protected:
  void SetUp() override {
    if (!nvidia_device_present("/")) {
      GTEST_SKIP() << "this machine shows no NVIDIA GPU";
    }
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);  // as the plugin does
    const int gpus = gpu_count();
    ASSERT_GT(gpus, 0);
    if (GetParam().place == Place::kAllGpus && (gpus < 2 || GetParam().ranks % gpus != 0)) {
      GTEST_SKIP() << GetParam().ranks << " ranks do not spread over " << gpus << " GPU(s)";
    }
  }

  PeerWorld world(int64_t buffer_bytes) const {
    return PeerWorld({.ranks = GetParam().ranks,
                      .direct = GetParam().place != Place::kHostMemory,
                      .all_gpus = GetParam().place == Place::kAllGpus,
                      .buffer_bytes = buffer_bytes});
  }
};

INSTANTIATE_TEST_SUITE_P(Groups,
                         CudaCollectives,
                         ::testing::Values(Setting{2, Place::kOneGpu},
                                           Setting{3, Place::kOneGpu},
                                           Setting{4, Place::kOneGpu},
                                           Setting{5, Place::kOneGpu},
                                           Setting{7, Place::kOneGpu},
                                           Setting{8, Place::kOneGpu},
                                           Setting{2, Place::kHostMemory},
                                           Setting{4, Place::kHostMemory},
                                           Setting{8, Place::kHostMemory},
                                           Setting{2, Place::kAllGpus},
                                           Setting{4, Place::kAllGpus},
                                           Setting{8, Place::kAllGpus}),
                         name_of);

TEST_P(CudaCollectives, SumsOfAllSizes) {
  constexpr int64_t kMost = (int64_t{1} << 20) + 3;
  PeerWorld ranks = world(4 * kMost);
  const uint64_t seed = std::random_device{}();
  for (const DType type : {DType::kF32, DType::kBF16}) {
    for (const int64_t count : {int64_t{1},
                                int64_t{2},
                                int64_t{3},
                                int64_t{5},
                                int64_t{8},
                                int64_t{31},
                                int64_t{255},
                                int64_t{1023},
                                int64_t{3584},
                                int64_t{7169},
                                int64_t{32768},
                                int64_t{65537},
                                int64_t{131072},
                                kMost}) {
      for (const int64_t shift : {0, 1, 2}) {  // elements from an aligned address
        for (const PeerAlgorithm by : kAll) {
          ranks.check({{.type = type,
                        .widths = {count},
                        .at = shift * dtype_size(type),
                        .by = by,
                        .seed = seed + static_cast<uint64_t>(count)}});
        }
        if (HasFailure()) {
          return;
        }
      }
    }
  }
}

// 64 MiB: many pieces in one launch.
TEST_P(CudaCollectives, LargeSums) {
  constexpr int64_t kBytes = int64_t{64} << 20;
  PeerWorld ranks = world(kBytes);
  for (const DType type : {DType::kF32, DType::kBF16}) {
    std::vector<Call> calls(1);
    calls[0].type = type;
    calls[0].widths = {kBytes / dtype_size(type)};
    calls[0].seed = std::random_device{}();
    const std::vector<Bytes> expected = {expected_of(calls[0], ranks.size())};
    for (const PeerAlgorithm by : {PeerAlgorithm::kPush, PeerAlgorithm::kTwoShot}) {
      calls[0].by = by;
      ranks.check(calls, expected);
    }
  }
}

// Widths that differ, also none at all; rows that lie apart in `out` and in no vectors.
TEST_P(CudaCollectives, GathersAndExchangesOfAllSizes) {
  PeerWorld ranks = world(int64_t{24} << 20);
  const auto n = static_cast<size_t>(ranks.size());
  const uint64_t seed = std::random_device{}();
  std::mt19937_64 random(seed);
  for (const int64_t width : {1, 2, 4, 7, 40, 64, 1000, 19'008}) {
    for (const int64_t rows : {1, 3, 64}) {
      std::vector<int64_t> equal(n, width);
      std::vector<int64_t> uneven(n);
      for (int64_t& w : uneven) {
        w = static_cast<int64_t>(random() % static_cast<uint64_t>(width + 1));
      }
      uneven[random() % n] = 0;
      std::vector<int64_t> one(n);
      one[random() % n] = width;
      for (const auto& widths : {equal, uneven, one}) {
        if (rows * width * static_cast<int64_t>(n) * 4 > int64_t{24} << 20) {
          continue;
        }
        ranks.check(
            {{.kind = Call::Kind::kExchange, .rows = rows, .widths = widths, .seed = seed}});
        for (const PeerAlgorithm by : {PeerAlgorithm::kFlagged, PeerAlgorithm::kPush}) {
          ranks.check({{.kind = Call::Kind::kGather,
                        .rows = rows,
                        .widths = widths,
                        .by = by,
                        .seed = seed}});
        }
        if (HasFailure()) {
          return;
        }
      }
    }
  }
}

TEST_P(CudaCollectives, BroadcastsOfAllSizes) {
  constexpr int64_t kMost = (int64_t{20} << 20) + 5;
  PeerWorld ranks = world(kMost);
  const uint64_t seed = std::random_device{}();
  for (const int64_t bytes : {int64_t{1},
                              int64_t{3},
                              int64_t{8},
                              int64_t{4096},
                              int64_t{77'777},
                              int64_t{1} << 20,
                              kMost}) {
    for (int root = 0; root < ranks.size(); ++root) {
      for (const PeerAlgorithm by : {PeerAlgorithm::kFlagged, PeerAlgorithm::kPush}) {
        ranks.check({{.kind = Call::Kind::kBroadcast,
                      .widths = {bytes},
                      .root = root,
                      .at = root % 3,
                      .by = by,
                      .seed = seed}});
      }
      if (HasFailure() || (bytes == kMost && root == 1)) {
        break;
      }
    }
  }
}

// A mix of everything, at sizes from one element to a few MiB, each in its own part of the buffer.
std::vector<Call> random_calls(std::mt19937_64& random, int ranks, int count, int64_t room) {
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  std::vector<Call> calls;
  int64_t at = 0;
  while (static_cast<int>(calls.size()) < count) {
    Call call;
    call.seed = random();
    const int64_t chance = below(100);
    const int64_t most = chance < 40 ? 64 : chance < 75 ? 8192 : chance < 97 ? 131'072 : 1'048'576;
    const int64_t elements = 1 + below(most);
    const int64_t kind = below(4);
    if (kind < 2) {
      call.type = kind == 0 ? DType::kF32 : DType::kBF16;
      call.widths = {elements};
      if (below(2) == 0) {
        call.by = kAll[below(3)];
      }
    } else if (kind == 2) {
      call.kind = below(2) == 0 ? Call::Kind::kGather : Call::Kind::kExchange;
      call.rows = 1 + below(4);
      for (int r = 0; r < ranks; ++r) {
        call.widths.push_back(below(elements / ranks / call.rows + 2));
      }
      call.widths[usize(below(ranks))] += 1;
    } else {
      call.kind = Call::Kind::kBroadcast;
      call.widths = {elements};
      call.root = static_cast<int>(below(ranks));
    }
    // Any alignment that elements may have; words for gathers.
    const int64_t unit = call.element_bytes();
    call.at = (at + unit - 1) / unit * unit;
    at = call.at + call.bytes();
    if (at > room) {
      break;
    }
    calls.push_back(std::move(call));
  }
  return calls;
}

TEST_P(CudaCollectives, TenThousandInRandomOrder) {
  constexpr int64_t kRoom = int64_t{48} << 20;
  PeerWorld ranks = world(kRoom);
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 random(seed);
  for (int done = 0; done < 10'000 && !HasFailure();) {
    const std::vector<Call> calls = random_calls(random, ranks.size(), 250, kRoom);
    ranks.check(calls);
    done += static_cast<int>(calls.size());
  }
}

// Replays bring new epochs, and inputs that changed in between are seen.
TEST_P(CudaCollectives, RecordedAndReplayed) {
  constexpr int64_t kRoom = int64_t{8} << 20;
  constexpr int kReplays = 300;
  PeerWorld ranks = world(kRoom);
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 random(seed);
  std::vector<Call> calls[2];
  calls[0] = random_calls(random, ranks.size(), 40, kRoom);
  calls[1] = calls[0];
  std::vector<Bytes> expected[2];
  for (int input : {0, 1}) {
    for (Call& call : calls[input]) {
      call.seed += static_cast<uint64_t>(input);
      expected[input].push_back(expected_of(call, ranks.size()));
    }
  }
  ranks.run([&](int r) {
    std::vector<Bytes> inputs[2];
    for (int input : {0, 1}) {
      for (const Call& call : calls[input]) {
        inputs[input].push_back(input_of(call, r));
      }
    }
    PeerWorld::Rank& rank = ranks.rank(r);
    auto graph = rank.device->record(*rank.stream, [&] {
      for (const Call& call : calls[0]) {
        ranks.queue(r, call);
      }
      return ok_status();
    });
    ASSERT_TRUE(graph.ok()) << graph.status().message();
    rank.comm->barrier();
    for (int replay = 0; replay < kReplays && !HasFailure(); ++replay) {
      const auto input = static_cast<size_t>(replay % 2);
      for (size_t i = 0; i < calls[0].size(); ++i) {
        ranks.upload_to(r, ranks.input(r, calls[0][i]), inputs[input][i]);
      }
      ASSERT_TRUE(graph.value()->launch(*rank.stream).ok());
      for (size_t i = 0; i < calls[0].size(); ++i) {
        ranks.compare(r, calls[input][i], expected[input][i]);
      }
      // Some outside of the graph in between: the epochs go on.
      ranks.queue(r, calls[0][static_cast<size_t>(replay) % calls[0].size()]);
    }
    ASSERT_TRUE(rank.stream->synchronize().ok());
    rank.comm->barrier();  // nobody frees a graph while a peer waits on the device
  });
  EXPECT_TRUE(ranks.group().health().ok()) << ranks.group().health().message();
}

TEST_P(CudaCollectives, TuningKeepsResults) {
  PeerWorld ranks = world(int64_t{4} << 20);
  std::vector<std::string> found(static_cast<size_t>(ranks.size()));
  ranks.run([&](int r) {
    ranks.rank(r).comm->tune();
    found[usize(r)] = ranks.rank(r).comm->tuning();
  });
  ASSERT_FALSE(HasFailure());
  RecordProperty("tuning", found[0]);
  for (const std::string& text : found) {
    EXPECT_EQ(text, found[0]);
    EXPECT_TRUE(cuda::parse_thresholds(text).ok()) << text;
  }
  std::printf("  %d ranks: %s\n", ranks.size(), found[0].c_str());
  ranks.check({{.type = DType::kBF16, .widths = {7168}, .seed = 1},
               {.type = DType::kBF16, .widths = {1'000'001}, .at = 16384, .seed = 2}});
}

}  // namespace
}  // namespace tutti::test
