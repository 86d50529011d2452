#include "ops/cpu/bandwidth_probe.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/checked.h"
#include "device/cpu_device.h"
#include "ops/cpu/cpu_isa.h"
#include "ops/cpu/kernel_choice.h"
#include "ops/cpu/thread_pool.h"

namespace tutti {

namespace {

constexpr int64_t kPieceFloats = int64_t{1} << 18;
constexpr int64_t kPieceBytes = kPieceFloats * 4;
constexpr int kSpinUs = 1000;  // all threads should start at once

class CpuBandwidthProbe final : public BandwidthProbe {
 public:
  // The device outlives the buffer: it is declared first.
  CpuBandwidthProbe(std::unique_ptr<CpuDevice> device, Buffer buffer, int threads)
      : device_(std::move(device)), buffer_(std::move(buffer)), pool_(threads, kSpinUs) {
    pool_.parallel_for(pieces(), [&](int64_t piece, int) {
      std::fill_n(data() + piece * kPieceFloats, kPieceFloats, 1.0F);
    });
  }

  double read() override {
    const cpu::CpuKernels& kernels = cpu::kernels_for(available_cpu_isas().back());
    return pass([&](float* begin, float* end) {
      sink_.store(kernels.sum(begin, end - begin), std::memory_order_relaxed);
    });
  }

  double copy() override {
    return pass([](float* begin, float* end) {
      const int64_t half = (end - begin) / 2;
      std::memcpy(begin + half, begin, usize(half) * sizeof(float));
    });
  }

 private:
  // f(begin, end) for every thread's part; bytes per second.
  template <class F>
  double pass(const F& f) {
    const auto start = std::chrono::steady_clock::now();
    pool_.parallel_for(pool_.threads(), [&](int64_t part, int) {
      f(data() + pieces() * part / pool_.threads() * kPieceFloats,
        data() + pieces() * (part + 1) / pool_.threads() * kPieceFloats);
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    return static_cast<double>(pieces() * kPieceBytes) / seconds.count();
  }

  int64_t pieces() const { return buffer_.bytes() / kPieceBytes; }

  float* data() const { return static_cast<float*>(buffer_.data()); }

  std::unique_ptr<CpuDevice> device_;
  Buffer buffer_;
  CpuThreadPool pool_;
  std::atomic<float> sink_{0};  // makes the sums count as used
};

template <class Pass>
double median(const Pass& pass) {
  std::array<double, 5> passes{};
  std::generate(passes.begin(), passes.end(), pass);
  std::sort(passes.begin(), passes.end());
  return passes[passes.size() / 2];
}

}  // namespace

Result<std::unique_ptr<BandwidthProbe>> BandwidthProbe::create(int threads, int64_t bytes) {
  const int64_t rounded = std::max<int64_t>(1, bytes / kPieceBytes) * kPieceBytes;
  auto device = std::make_unique<CpuDevice>();
  TUTTI_TRY(Buffer buffer, Buffer::allocate(*device, rounded, "bandwidth probe"));
  return std::unique_ptr<BandwidthProbe>(
      std::make_unique<CpuBandwidthProbe>(std::move(device), std::move(buffer), threads));
}

Result<MemoryBandwidth> measure_bandwidth(int threads, int64_t bytes) {
  TUTTI_TRY(const std::unique_ptr<BandwidthProbe> probe, BandwidthProbe::create(threads, bytes));
  return MemoryBandwidth{.read = median([&] { return probe->read(); }),
                         .copy = median([&] { return probe->copy(); })};
}

}  // namespace tutti
