#include "ops/cpu/bandwidth_probe.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>

#include "base/checked.h"
#include "device/cpu_device.h"
#include "ops/cpu/cpu_isa.h"
#include "ops/cpu/cpu_kernels.h"
#include "ops/cpu/kernel_choice.h"
#include "ops/cpu/thread_pool.h"

namespace tutti {

Result<double> measure_read_bandwidth(int threads, int64_t bytes) {
  constexpr int64_t kPieceFloats = int64_t{1} << 18;
  constexpr size_t kPasses = 5;
  constexpr int kSpinUs = 1000;
  const int64_t pieces = std::max<int64_t>(1, bytes / (kPieceFloats * 4));
  CpuDevice device;
  TUTTI_TRY(const Buffer buffer,
            Buffer::allocate(device, pieces * kPieceFloats * 4, "bandwidth probe"));
  auto* data = static_cast<float*>(buffer.data());
  const cpu::CpuKernels& kernels = cpu::kernels_for(available_cpu_isas().back());
  CpuThreadPool pool(threads, kSpinUs);
  pool.parallel_for(pieces, [&](int64_t piece, int) {
    std::fill_n(data + piece * kPieceFloats, kPieceFloats, 1.0F);
  });
  std::array<double, kPasses> seconds{};
  std::atomic<float> sink{0};  // makes the sums count as used
  for (double& pass : seconds) {
    const auto start = std::chrono::steady_clock::now();
    pool.parallel_for(pool.threads(), [&](int64_t part, int) {
      const int64_t begin = pieces * part / pool.threads() * kPieceFloats;
      const int64_t end = pieces * (part + 1) / pool.threads() * kPieceFloats;
      sink.store(kernels.sum(data + begin, end - begin), std::memory_order_relaxed);
    });
    pass = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  std::nth_element(seconds.begin(), seconds.begin() + kPasses / 2, seconds.end());
  return static_cast<double>(pieces * kPieceFloats * 4) / seconds[kPasses / 2];
}

}  // namespace tutti
