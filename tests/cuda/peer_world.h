// A group of ranks on GPUs for tests of collectives: a thread, a stream and two buffers for each,
// calls with inputs that a seed gives, and what every rank must hold afterwards, to the bit.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "backend/select.h"
#include "base/checked.h"
#include "cuda/comm/peer_communicator.h"
#include "cuda/comm/peer_kernels.h"

namespace tutti::test {

using cuda::PeerAlgorithm;

/// One collective. Its input and its result lie `at` bytes into the buffers of each rank.
struct Call {
  enum class Kind { kSum, kGather, kExchange, kBroadcast };

  Kind kind = Kind::kSum;
  DType type = DType::kF32;     ///< of a sum
  int64_t rows = 1;             ///< of a gather or an exchange
  std::vector<int64_t> widths;  ///< of these, in words; else one: elements, or bytes
  int root = 0;
  int64_t at = 0;
  std::optional<PeerAlgorithm> by;
  uint64_t seed = 0;

  int64_t total_width() const {
    int64_t sum = 0;
    for (const int64_t width : widths) {
      sum += width;
    }
    return sum;
  }

  int64_t element_bytes() const {
    return kind == Kind::kSum ? dtype_size(type) : columns() ? 4 : 1;
  }

  /// Each rank brings columns, which end up in another buffer.
  bool columns() const { return kind == Kind::kGather || kind == Kind::kExchange; }

  /// Of the largest result, which no input exceeds.
  int64_t bytes() const { return rows * total_width() * element_bytes(); }

  std::string describe() const {
    return fmt::format("{} of {} x {} {}, at {}, by {}, seed {}",
                       kind == Kind::kSum        ? "sum"
                       : kind == Kind::kGather   ? "gather"
                       : kind == Kind::kExchange ? "exchange"
                                                 : "broadcast",
                       rows,
                       fmt::join(widths, "+"),
                       kind == Kind::kSum ? dtype_name(type) : "",
                       at,
                       by ? static_cast<int>(*by) : -1,
                       seed);
  }
};

using Bytes = std::vector<std::byte>;

inline uint32_t mix(uint64_t seed, int rank, int64_t i) {
  uint64_t z = seed * 0x9E3779B97F4A7C15U + static_cast<uint64_t>(rank) * 0xD1B54A32D192ED03U +
               static_cast<uint64_t>(i) * 0x8CB92BA72F3D8DD7U;
  z = (z ^ (z >> 29U)) * 0xBF58476D1CE4E5B9U;
  return static_cast<uint32_t>(z >> 32U);
}

/// In (-8, 8), of many sizes, so that the order of a sum shows in its last bits.
inline float element(uint64_t seed, int rank, int64_t i) {
  const uint32_t bits = mix(seed, rank, i);
  const float value = static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-28F;
  return bits % 4 == 0 ? value * 0x1p-9F : value;
}

template <class T>
void put(Bytes& to, int64_t i, T value) {
  std::memcpy(to.data() + i * ssize(sizeof(T)), &value, sizeof(T));
}

/// What rank `rank` brings to a call.
inline Bytes input_of(const Call& call, int rank) {
  const bool gather = call.columns();
  const int64_t width = call.widths[gather ? usize(rank) : 0];
  Bytes bytes(usize(call.rows * width * call.element_bytes()));
  for (int64_t i = 0; i < call.rows * width; ++i) {
    if (gather) {
      put(bytes, i, mix(call.seed, rank, i));
    } else if (call.kind == Call::Kind::kBroadcast) {
      put(bytes, i, static_cast<std::byte>(mix(call.seed, rank, i)));
    } else if (call.type == DType::kF32) {
      put(bytes, i, element(call.seed, rank, i));
    } else {
      put(bytes, i, to_bf16(element(call.seed, rank, i)));
    }
  }
  return bytes;
}

inline Bytes expected_sum(const Call& call, int ranks) {
  Bytes bytes(usize(call.bytes()));
  for (int64_t i = 0; i < call.widths[0]; ++i) {
    const bool f32 = call.type == DType::kF32;
    const auto part = [&](int rank) {
      const float value = element(call.seed, rank, i);
      return f32 ? value : to_float(to_bf16(value));
    };
    float sum = part(0);
    for (int rank = 1; rank < ranks; ++rank) {
      sum += part(rank);
    }
    f32 ? put(bytes, i, sum) : put(bytes, i, to_bf16(sum));
  }
  return bytes;
}

/// What every rank must hold afterwards; of an exchange, what they hold together.
inline Bytes expected_of(const Call& call, int ranks) {
  if (call.kind == Call::Kind::kSum) {
    return expected_sum(call, ranks);
  }
  if (call.kind == Call::Kind::kBroadcast) {
    return input_of(call, call.root);
  }
  Bytes bytes(usize(call.bytes()));
  int64_t offset = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const int64_t width = call.widths[usize(rank)];
    const Bytes part = input_of(call, rank);
    for (int64_t row = 0; row < call.rows && width > 0; ++row) {
      std::memcpy(bytes.data() + (row * call.total_width() + offset) * 4,
                  part.data() + row * width * 4,
                  usize(width * 4));
    }
    offset += width;
  }
  return bytes;
}

struct WorldOptions {
  int ranks = 2;
  bool direct = true;  ///< or mailboxes in the host's memory
  bool all_gpus = false;
  int64_t buffer_bytes = int64_t{1} << 20;
  std::chrono::milliseconds timeout{20'000};
};

class PeerWorld {
 public:
  explicit PeerWorld(const WorldOptions& options) {
    const auto gpus = cuda::probe_cuda_devices({}).value();
    const int used = options.all_gpus ? static_cast<int>(gpus.size()) : 1;
    cuda::PeerGroupOptions group{.peer_access = options.direct, .timeout = options.timeout};
    for (int r = 0; r < options.ranks; ++r) {
      group.placement.push_back(gpus[usize(int64_t{r} * used / options.ranks)]);
    }
    auto made = cuda::PeerGroup::create(group);
    EXPECT_TRUE(made.ok()) << made.status().message();
    group_ = std::move(made).value();
    for (int r = 0; r < options.ranks; ++r) {
      const cuda::CudaDeviceInfo& gpu = group.placement[usize(r)];
      Rank& rank = ranks_.emplace_back();
      rank.device = std::make_unique<cuda::CudaDevice>(gpu.index, gpu.name);
      rank.stream = cuda::CudaStream::create(gpu.index).value();
      rank.comm = std::make_unique<cuda::PeerCommunicator>(*group_, r, *rank.device, *rank.stream);
      rank.x = Buffer::allocate(*rank.device, options.buffer_bytes + 64, "test").value();
      rank.out = Buffer::allocate(*rank.device, options.buffer_bytes + 64, "test").value();
      // Pinned memory for uploads is made at the first: before anybody waits on a device.
      upload_to(r, rank.x.data(), Bytes(1));
      EXPECT_TRUE(rank.stream->synchronize().ok());
    }
  }

  // Freeing a buffer waits for the device.
  ~PeerWorld() { group_->abandon(); }

  PeerWorld(const PeerWorld&) = delete;
  PeerWorld& operator=(const PeerWorld&) = delete;

  struct Rank {
    std::unique_ptr<cuda::CudaDevice> device;
    std::unique_ptr<cuda::CudaStream> stream;
    Buffer x;
    Buffer out;
    std::unique_ptr<cuda::PeerCommunicator> comm;
  };

  int size() const { return static_cast<int>(ranks_.size()); }

  Rank& rank(int r) { return ranks_[usize(r)]; }

  cuda::PeerGroup& group() { return *group_; }

  std::byte* input(int r, const Call& call) {
    return static_cast<std::byte*>(rank(r).x.data()) + call.at;
  }

  std::byte* result(int r, const Call& call) {
    const Buffer& buffer = call.columns() ? rank(r).out : rank(r).x;
    return static_cast<std::byte*>(buffer.data()) + call.at;
  }

  /// On a thread for each rank; what they throw fails the test.
  void run(const std::function<void(int)>& work) {
    std::vector<std::jthread> threads;
    for (int r = 0; r < size(); ++r) {
      threads.emplace_back([&, r] {
        try {
          cudaSetDevice(rank(r).device->index());
          work(r);
        } catch (const DeviceError& e) {
          ADD_FAILURE() << "rank " << r << ": " << e.what();
          group_->abort(e.what());
        }
      });
    }
  }

  /// On the rank's thread.
  void upload(int r, const Call& call) {
    const Bytes bytes = input_of(call, r);
    upload_to(r, input(r, call), bytes);
  }

  void upload_to(int r, void* to, const Bytes& bytes) {
    if (!bytes.empty()) {
      const Status status =
          rank(r).device->copy_from_host(to, bytes.data(), ssize(bytes.size()), *rank(r).stream);
      EXPECT_TRUE(status.ok()) << status.message();
    }
  }

  Bytes download(int r, const void* from, int64_t bytes) {
    Bytes host(usize(bytes));
    // First all that is queued: a copy to pageable memory waits inside the driver, where other
    // ranks' threads may want to launch what is waited for.
    Status status = rank(r).stream->synchronize();
    status = status.ok() ? rank(r).device->copy_to_host(host.data(), from, bytes, *rank(r).stream)
                         : status;
    status = status.ok() ? rank(r).stream->synchronize() : status;
    EXPECT_TRUE(status.ok()) << status.message();
    return host;
  }

  /// Queues a call on the rank's stream.
  void queue(int r, const Call& call) {
    cuda::PeerCommunicator& comm = *rank(r).comm;
    comm.force(call.by);
    if (call.kind == Call::Kind::kSum) {
      comm.all_reduce_sum({input(r, call), call.type, {call.widths[0]}});
    } else if (call.kind == Call::Kind::kBroadcast) {
      comm.broadcast({.x = {input(r, call), DType::kU8, {call.widths[0]}}, .root = call.root});
    } else if (call.kind == Call::Kind::kExchange) {
      const int64_t share = row_share(call.rows, r, size()).count;
      comm.exchange_rows({.out = {result(r, call), DType::kF32, {share, call.total_width()}},
                          .in = {input(r, call), DType::kF32, {call.rows, call.widths[usize(r)]}},
                          .widths = call.widths});
    } else {
      comm.all_gather_columns({result(r, call), DType::kF32, {call.rows, call.total_width()}},
                              {input(r, call), DType::kF32, {call.rows, call.widths[usize(r)]}},
                              call.widths);
    }
  }

  /// Compares what rank `r` holds with its part of `all`.
  void compare(int r, const Call& call, const Bytes& all) {
    Bytes expected = all;
    if (call.kind == Call::Kind::kExchange) {
      const RowShare share = row_share(call.rows, r, size());
      const auto begin = all.begin() + share.begin * call.total_width() * 4;
      expected.assign(begin, begin + share.count * call.total_width() * 4);
    }
    const Bytes got = download(r, result(r, call), ssize(expected.size()));
    if (got == expected) {
      return;
    }
    const auto [g, e] = std::ranges::mismatch(got, expected);
    const int64_t first = g - got.begin();
    ADD_FAILURE() << "rank " << r << " of " << size() << ": " << call.describe()
                  << ": first difference in byte " << first << " of " << expected.size() << ": "
                  << static_cast<int>(*g) << ", wanted " << static_cast<int>(*e);
  }

  /// All calls, one behind the other without waiting, on all ranks.
  void check(const std::vector<Call>& calls) {
    std::vector<Bytes> expected;
    for (const Call& call : calls) {
      expected.push_back(expected_of(call, size()));
    }
    check(calls, expected);
  }

  void check(const std::vector<Call>& calls, const std::vector<Bytes>& expected) {
    run([&](int r) {
      for (const Call& call : calls) {
        upload(r, call);
      }
      for (const Call& call : calls) {
        queue(r, call);
      }
      for (size_t i = 0; i < calls.size(); ++i) {
        compare(r, calls[i], expected[i]);
      }
    });
    const Status health = group_->health();
    EXPECT_TRUE(health.ok()) << health.message();
  }

 private:
  std::unique_ptr<cuda::PeerGroup> group_;
  std::vector<Rank> ranks_;
};

}  // namespace tutti::test
