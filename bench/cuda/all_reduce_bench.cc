// Sums over GPU ranks in recorded graphs, as a decode step has them: pairs of a small elementwise
// kernel and an all-reduce of bf16, less the elementwise kernel alone; each way data can travel,
// and the fused sum, residual and norm beside its two steps. Times are rank 0's medians.
//   all_reduce_bench [--ranks-per-gpu N] [--gpus N] [--host-memory]
// One GPU alone has 2 ranks unless told otherwise.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string_view>
#include <thread>
#include <vector>

#include "base/checked.h"
#include "cuda/comm/peer_communicator.h"
#include "cuda/cuda_error.h"
#include "cuda/ops/rows.h"

namespace tutti::cuda {
namespace {

constexpr int64_t kWidth = 3584;  // elements of a row: 7 KiB
constexpr int64_t kRows[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 9362, 37449};
constexpr int64_t kMostRows = 37449;  // 256 MiB
constexpr int64_t kFusedRows[] = {1, 2, 4, 8, 16, 32};
constexpr int64_t kMostFusedRows = 32;
constexpr int kPairs = 122;    // of a decode step of 61 layers
constexpr int kFewPairs = 16;  // of large messages
constexpr int kRuns = 5;

void check(const Status& status) {
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    std::_Exit(1);  // other ranks' threads may be waiting
  }
}

void check_fused(bool fused) {
  if (!fused) {
    check(error(StatusCode::kInternal, "a size that the fused kernel does not take"));
  }
}

template <class T>
T value(Result<T> result) {
  check(result.status());
  return std::move(result).value();
}

struct Options {
  int gpus = 0;  ///< 0 = all visible
  int ranks_per_gpu = 0;
  bool host_memory = false;
};

struct Rank {
  std::unique_ptr<CudaDevice> device;
  std::unique_ptr<CudaStream> stream;
  Buffer x;         ///< [rows, kWidth] bf16
  Buffer addend;    ///< the same, all zero
  Buffer residual;  ///< [kMostFusedRows, kWidth] f32
  Buffer weight;    ///< [kWidth] f32
  Buffer y;         ///< [kMostFusedRows, kWidth] bf16
  std::vector<std::unique_ptr<Timer>> timers;
  std::unique_ptr<PeerCommunicator> comm;
};

class Bench {
 public:
  explicit Bench(const Options& options) {
    const std::vector<CudaDeviceInfo> visible = value(probe_cuda_devices({}));
    const auto present = static_cast<int>(visible.size());
    const int gpus = options.gpus > 0 ? std::min(options.gpus, present) : present;
    const int each = options.ranks_per_gpu > 0 ? options.ranks_per_gpu : gpus == 1 ? 2 : 1;
    PeerGroupOptions group{.peer_access = !options.host_memory};
    for (int r = 0; r < gpus * each; ++r) {
      group.placement.push_back(visible[static_cast<size_t>(r / each)]);
    }
    group_ = value(PeerGroup::create(group));
    for (int r = 0; r < gpus * each; ++r) {
      ranks_.push_back(make_rank(r, group.placement[static_cast<size_t>(r)]));
    }
    std::printf("%d ranks on %d x %s, mailboxes in %s memory\n",
                gpus * each,
                gpus,
                visible[0].name.c_str(),
                group_->direct() ? "device" : "host");
  }

  ~Bench() { group_->abandon(); }

  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void sums() {
    std::printf("%12s %10s %10s %10s %10s   us per all-reduce\n",
                "bytes",
                "flagged",
                "push",
                "two-shot",
                "tuned");
    for (const int64_t rows : kRows) {
      const double alone = microseconds(rows, [&](Rank& rank) { add_zero(rank, rows); });
      std::string line = fmt::format("{:12}", rows * kWidth * 2);
      for (const std::optional<PeerAlgorithm> by : {std::optional(PeerAlgorithm::kFlagged),
                                                    std::optional(PeerAlgorithm::kPush),
                                                    std::optional(PeerAlgorithm::kTwoShot),
                                                    std::optional<PeerAlgorithm>()}) {
        if (by == PeerAlgorithm::kFlagged &&
            rows * kWidth * 2 > ranks_[0].comm->most_flagged_bytes()) {
          line += fmt::format(" {:>10}", "-");
          continue;
        }
        const double both = microseconds(rows, [&](Rank& rank) {
          rank.comm->force(by);
          add_zero(rank, rows);
          rank.comm->all_reduce_sum(x_of(rank, rows));
        });
        line += fmt::format(" {:10.2f}", both - alone);
      }
      std::printf("%s   (elementwise alone %.2f)\n", line.c_str(), alone);
      std::fflush(stdout);
    }
  }

  void norms() {
    std::printf("%12s %10s %10s   us per sum, residual and norm\n", "bytes", "fused", "two steps");
    for (const int64_t rows : kFusedRows) {
      const double alone = microseconds(rows, [&](Rank& rank) { add_zero(rank, rows); });
      const double fused = microseconds(rows, [&](Rank& rank) {
        rank.comm->force(PeerAlgorithm::kFlagged);
        add_zero(rank, rows);
        check_fused(rank.comm->all_reduce_add_rms_norm(
            {.y = {rank.y.data(), DType::kBF16, {rows, kWidth}},
             .residual = {rank.residual.data(), DType::kF32, {rows, kWidth}},
             .x = x_of(rank, rows),
             .weight = {rank.weight.data(), DType::kF32, {kWidth}},
             .eps = 1e-6F}));
      });
      const double steps = microseconds(rows, [&](Rank& rank) {
        rank.comm->force(std::nullopt);
        add_zero(rank, rows);
        rank.comm->all_reduce_sum(x_of(rank, rows));
        throw_if_failed(add_rms_norm(bf16_rows(rank.y.data(), rows),
                                     {.data = rank.residual.data(),
                                      .type = ElementType::kF32,
                                      .n0 = rows,
                                      .width = kWidth,
                                      .stride0 = kWidth},
                                     const_rows(rank.x.data(), rows),
                                     static_cast<const float*>(rank.weight.data()),
                                     1e-6F,
                                     rank.stream->handle()),
                        "add_rms_norm");
      });
      std::printf("%12lld %10.2f %10.2f\n",
                  static_cast<long long>(rows * kWidth * 2),
                  fused - alone,
                  steps - alone);
      std::fflush(stdout);
    }
  }

  void tune() {
    run([](Rank& rank) { rank.comm->tune(); });
    std::printf("tuned: %s\n", ranks_[0].comm->tuning().c_str());
  }

 private:
  Rank make_rank(int r, const CudaDeviceInfo& gpu) {
    Rank rank;
    rank.device = std::make_unique<CudaDevice>(gpu.index, gpu.name);
    rank.stream = value(CudaStream::create(gpu.index));
    const auto allocate = [&](int64_t bytes) {
      Buffer buffer = value(Buffer::allocate(*rank.device, bytes, "benchmark"));
      check(cuda::check(cudaMemset(buffer.data(), 0, usize(bytes)), "cudaMemset"));
      return buffer;
    };
    rank.x = allocate(kMostRows * kWidth * 2);
    rank.addend = allocate(kMostRows * kWidth * 2);
    rank.residual = allocate(kMostFusedRows * kWidth * 4);
    rank.weight = allocate(kWidth * 4);
    rank.y = allocate(kMostFusedRows * kWidth * 2);
    check(cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize"));
    for (int i = 0; i < kRuns; ++i) {
      rank.timers.push_back(rank.device->new_timer());
    }
    rank.comm = std::make_unique<PeerCommunicator>(*group_, r, *rank.device, *rank.stream);
    return rank;
  }

  static Rows bf16_rows(void* data, int64_t rows) {
    return {
        .data = data, .type = ElementType::kBF16, .n0 = rows, .width = kWidth, .stride0 = kWidth};
  }

  static ConstRows const_rows(const void* data, int64_t rows) {
    return {
        .data = data, .type = ElementType::kBF16, .n0 = rows, .width = kWidth, .stride0 = kWidth};
  }

  static TensorView x_of(const Rank& rank, int64_t rows) {
    return {rank.x.data(), DType::kBF16, {rows, kWidth}};
  }

  static void add_zero(const Rank& rank, int64_t rows) {
    throw_if_failed(add(bf16_rows(rank.x.data(), rows),
                        const_rows(rank.addend.data(), rows),
                        rank.stream->handle()),
                    "add");
  }

  void run(const std::function<void(Rank&)>& work) {
    std::vector<std::thread> threads;
    for (Rank& rank : ranks_) {
      threads.emplace_back([&work, &rank] {
        try {
          check(cuda::check(cudaSetDevice(rank.device->index()), "cudaSetDevice"));
          work(rank);
        } catch (const DeviceError& e) {
          check(error(StatusCode::kDevice, "{}", e.what()));
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }

  // Of one `pair`, on rank 0; all ranks do the same.
  double microseconds(int64_t rows, const std::function<void(Rank&)>& pair) {
    const int pairs = rows <= 128 ? kPairs : kFewPairs;
    double median = 0;
    run([&](Rank& rank) {
      const std::unique_ptr<Graph> graph = value(rank.device->record(*rank.stream, [&] {
        for (int i = 0; i < pairs; ++i) {
          pair(rank);
        }
        return ok_status();
      }));
      rank.comm->barrier();  // nobody makes a graph while a peer waits on the device
      check(graph->launch(*rank.stream));
      for (const auto& timer : rank.timers) {
        check(timer->start(*rank.stream));
        check(graph->launch(*rank.stream));
        check(timer->stop(*rank.stream));
      }
      check(rank.stream->synchronize());
      rank.comm->barrier();  // nor frees one
      std::vector<double> seconds;
      for (const auto& timer : rank.timers) {
        seconds.push_back(value(timer->seconds()));
      }
      std::ranges::nth_element(seconds, seconds.begin() + kRuns / 2);
      if (rank.comm->rank() == 0) {
        median = seconds[kRuns / 2] * 1e6 / pairs;
      }
    });
    check(group_->health());
    return median;
  }

  std::unique_ptr<PeerGroup> group_;
  std::vector<Rank> ranks_;
};

int usage() {
  std::fprintf(stderr, "all_reduce_bench [--ranks-per-gpu N] [--gpus N] [--host-memory]\n");
  return 64;
}

}  // namespace
}  // namespace tutti::cuda

int main(int argc, char** argv) {
  tutti::cuda::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--host-memory") {
      options.host_memory = true;
    } else if ((argument == "--gpus" || argument == "--ranks-per-gpu") && i + 1 < argc) {
      const std::string_view text = argv[++i];
      int& number = argument == "--gpus" ? options.gpus : options.ranks_per_gpu;
      const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (code != std::errc() || end != text.data() + text.size() || number < 1) {
        return tutti::cuda::usage();
      }
    } else {
      return tutti::cuda::usage();
    }
  }
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);  // NOLINT(concurrency-mt-unsafe): as the plugin
  tutti::cuda::Bench bench(options);
  bench.tune();
  bench.sums();
  bench.norms();
  return 0;
}
