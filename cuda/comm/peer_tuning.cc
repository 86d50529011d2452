#include "cuda/comm/peer_tuning.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "cuda/comm/peer_kernels.h"
#include "cuda/cuda_error.h"

namespace tutti::cuda {

namespace {

constexpr int64_t kLeast = int64_t{4} << 10;
constexpr int64_t kMost = int64_t{32} << 20;
constexpr int kRuns = 5;  // whose median counts
// Enough in a row that starting a graph costs little beside them, few where they are long.
constexpr int64_t kBytesPerRun = int64_t{8} << 20;
constexpr int64_t kRepeats = 32;

template <class T>
T or_throw(Result<T> result) {
  if (!result.ok()) {
    throw DeviceError(result.status().message());
  }
  return std::move(result).value();
}

void or_throw(const Status& status) {
  if (!status.ok()) {
    throw DeviceError(status.message());
  }
}

}  // namespace

PeerTuner::PeerTuner(PeerCommunicator& ranks, CudaDevice& device, CudaStream& stream)
    : ranks_(ranks),
      device_(device),
      stream_(stream),
      memory_(or_throw(Buffer::allocate(device, kMost, "measuring collectives"))) {
  for (int run = 0; run < kRuns; ++run) {
    timers_.push_back(device.new_timer());
  }
}

std::vector<PeerSample> PeerTuner::measure() {
  throw_if_failed(cudaMemsetAsync(memory_.data(), 0, usize(kMost), stream_.handle()),
                  "cudaMemsetAsync");
  or_throw(stream_.synchronize());
  std::vector<PeerSample> samples;
  for (int64_t bytes = kLeast; bytes <= kMost; bytes *= 2) {
    PeerSample& sample = samples.emplace_back(bytes);
    for (const PeerAlgorithm by :
         {PeerAlgorithm::kFlagged, PeerAlgorithm::kPush, PeerAlgorithm::kTwoShot}) {
      sample.seconds[static_cast<size_t>(by)] = seconds(by, bytes);
    }
  }
  ranks_.force(std::nullopt);
  return samples;
}

double PeerTuner::seconds(PeerAlgorithm by, int64_t bytes) {
  if (by == PeerAlgorithm::kFlagged && bytes > ranks_.most_flagged_bytes()) {
    return std::numeric_limits<double>::infinity();
  }
  ranks_.force(by);
  const TensorView x(memory_.data(), DType::kBF16, {bytes / 2});
  const int64_t repeats = std::clamp<int64_t>(kBytesPerRun / bytes, 1, kRepeats);
  std::unique_ptr<Graph> graph = or_throw(device_.record(stream_, [&] {
    for (int64_t i = 0; i < repeats; ++i) {
      ranks_.all_reduce_sum(x);
    }
    return ok_status();
  }));
  ranks_.barrier();                  // nobody makes a graph while a peer waits on a device
  or_throw(graph->launch(stream_));  // brings the ranks together; not counted
  for (const auto& timer : timers_) {
    or_throw(timer->start(stream_));
    or_throw(graph->launch(stream_));
    or_throw(timer->stop(stream_));
  }
  or_throw(stream_.synchronize());
  ranks_.barrier();  // nor frees one
  std::vector<double> runs;
  for (const auto& timer : timers_) {
    runs.push_back(or_throw(timer->seconds()) / static_cast<double>(repeats));
  }
  std::ranges::nth_element(runs, runs.begin() + kRuns / 2);
  return runs[kRuns / 2];
}

}  // namespace tutti::cuda
