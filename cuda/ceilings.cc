#include "cuda/ceilings.h"

#include <algorithm>
#include <functional>

#include "cuda/cublas.h"
#include "cuda/cuda_device.h"
#include "cuda/cuda_error.h"
#include "cuda/ops/read_probe.h"
#include "cuda/views.h"

namespace tutti::cuda {

namespace {

constexpr int64_t kBytes = int64_t{2} << 30;  // far more than a cache holds
constexpr int kPasses = 6;
constexpr int64_t kSide = 8192;
constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;

class Measurement {
 public:
  Measurement(const CudaDeviceInfo& gpu, DType compute)
      : gpu_(gpu), compute_(compute), device_(gpu.index, gpu.name) {}

  Result<Ceilings> run() {
    TUTTI_TRY(stream_, CudaStream::create(gpu_.index));
    const int64_t bytes = std::min(kBytes, device_.free_bytes() / 2);
    TUTTI_TRY(buffer_, Buffer::allocate(device_, bytes, "measurement of bandwidth"));
    const cudaStream_t stream = stream_->handle();
    TUTTI_RETURN_IF_ERROR(
        check(cudaMemsetAsync(buffer_.data(), 0, usize(bytes), stream), "cudaMemsetAsync"));
    TUTTI_TRY(const double read, best_of([&] {
                return check(read_all(buffer_.data(), bytes, gpu_.multiprocessors, stream),
                             "read probe");
              }));
    auto* data = static_cast<std::byte*>(buffer_.data());
    TUTTI_TRY(const double copy, best_of([&] {
                return check(
                    cudaMemcpyAsync(
                        data + bytes / 2, data, usize(bytes / 2), cudaMemcpyDeviceToDevice, stream),
                    "copy probe");
              }));
    TUTTI_TRY(const double product, best_product());
    return Ceilings{.read = static_cast<double>(bytes) / read,
                    .copy = static_cast<double>(bytes) / copy,
                    .flops = product > 0 ? 2.0 * kSide * kSide * kSide / product : 0};
  }

 private:
  // Seconds of the fastest pass.
  Result<double> best_of(const std::function<Status()>& work) {
    const std::unique_ptr<Timer> timer = device_.new_timer();
    double best = 0;
    for (int pass = 0; pass < kPasses; ++pass) {
      TUTTI_RETURN_IF_ERROR(timer->start(*stream_));
      TUTTI_RETURN_IF_ERROR(work());
      TUTTI_RETURN_IF_ERROR(timer->stop(*stream_));
      TUTTI_RETURN_IF_ERROR(stream_->synchronize());
      TUTTI_TRY(const double seconds, timer->seconds());
      best = pass == 0 ? seconds : std::min(best, seconds);
    }
    return best;
  }

  // Random-looking operands: zeros would let the chip run faster than real numbers do.
  Result<double> best_product() {
    const int64_t bytes = kSide * kSide * dtype_size(compute_);
    if (buffer_.bytes() < 3 * bytes + kWorkspaceBytes) {
      return 0.0;  // not enough memory to measure with
    }
    TUTTI_TRY(const std::unique_ptr<CublasLt> cublas, CublasLt::open(cublas_directories()));
    TUTTI_RETURN_IF_ERROR(fill(2 * bytes));
    auto* data = static_cast<std::byte*>(buffer_.data());
    MatMul p;
    p.x = data;
    p.w = data + bytes;
    p.y = data + 2 * bytes;
    p.x_type = p.w_type = p.y_type = element_type(compute_);
    p.m = p.n = p.k = kSide;
    p.x_stride = p.w_stride = p.y_stride = kSide;
    const CublasLt::Workspace workspace{
        .data = data + 3 * bytes, .bytes = kWorkspaceBytes, .stream = stream_->handle()};
    return best_of([&] { return cublas->matmul(p, nullptr, workspace); });
  }

  // Numbers in [-1, 1) over the first `bytes` of the buffer.
  Status fill(int64_t bytes) {
    std::vector<std::byte> values(usize(int64_t{1} << 22));
    const int64_t size = dtype_size(compute_);
    uint32_t state = 1;
    for (int64_t i = 0; i < ssize(values.size()) / size; ++i) {
      state = state * 1664525U + 1013904223U;  // a linear congruential generator's high bits
      const float value = static_cast<float>(state >> 8U) * 0x1p-23F - 1.0F;
      if (compute_ == DType::kF32) {
        reinterpret_cast<float*>(values.data())[i] = value;
      } else {
        reinterpret_cast<BF16*>(values.data())[i] = to_bf16(value);
      }
    }
    for (int64_t at = 0; at < bytes; at += ssize(values.size())) {
      TUTTI_RETURN_IF_ERROR(device_.copy_from_host(static_cast<std::byte*>(buffer_.data()) + at,
                                                   values.data(),
                                                   std::min(bytes - at, ssize(values.size())),
                                                   *stream_));
    }
    return ok_status();
  }

  const CudaDeviceInfo& gpu_;
  DType compute_;
  CudaDevice device_;
  std::unique_ptr<CudaStream> stream_;
  Buffer buffer_;
};

}  // namespace

Result<Ceilings> measure_ceilings(const CudaDeviceInfo& gpu, DType compute) {
  return Measurement(gpu, compute).run();
}

}  // namespace tutti::cuda
