// Matrix products of a few rows: our skinny kernel beside every algorithm cuBLASLt offers, on
// weights that no cache holds. Where the one overtakes the other is what cuda_linear.cc and the
// choice of algorithms are made from.
//   matmul_bench [ROWS...]      one line per shape and number of rows
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "base/checked.h"
#include "cuda/cublas.h"
#include "cuda/kernels/skinny_gemm.h"
#include "cuda/ops/rows.h"

namespace tutti::cuda {
namespace {

constexpr int64_t kBytes = int64_t{2} << 30;  // of weights that are read in turns
constexpr int64_t kWorkspace = int64_t{32} << 20;
constexpr int kRuns = 40;

struct Shape {
  const char* name;
  int64_t n;
  int64_t k;
  bool gated;
};

constexpr Shape kShapes[] = {
    {"7b qkv", 4608, 3584, false},
    {"7b o", 3584, 3584, false},
    {"7b gate_up", 37888, 3584, true},
    {"7b down", 3584, 18944, false},
    {"8b qkv", 6144, 4096, false},
    {"8b o", 4096, 4096, false},
    {"8b gate_up", 28672, 4096, true},
    {"8b down", 4096, 14336, false},
    {"32b qkv", 7168, 5120, false},
    {"32b o", 5120, 5120, false},
};

void check(cudaError_t code) {
  if (code != cudaSuccess) {
    std::fprintf(stderr, "%s\n", cudaGetErrorString(code));
    std::exit(1);
  }
}

void check(const Status& status) {
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    std::exit(1);
  }
}

class Bench {
 public:
  Bench() {
    check(cudaStreamCreate(&stream_));
    check(cudaEventCreate(&begin_));
    check(cudaEventCreate(&end_));
    for (void** buffer : {&weights_, &x_, &y_, &workspace_}) {
      const int64_t bytes = buffer == &weights_ ? kBytes : int64_t{256} << 20;
      check(cudaMalloc(buffer, usize(bytes)));
      check(cudaMemset(*buffer, 0, usize(bytes)));
    }
    Result<std::unique_ptr<CublasLt>> cublas = CublasLt::open(cublas_directories());
    check(cublas.status());
    cublas_ = std::move(cublas).value();
  }

  // Microseconds per run; `run` gets the weights to read.
  double time(int64_t weight_bytes, const std::function<void(const void*)>& run) {
    const int64_t copies = std::max<int64_t>(1, kBytes / weight_bytes);
    double best = 1e9;
    for (int pass = 0; pass < 3; ++pass) {
      check(cudaEventRecord(begin_, stream_));
      for (int i = 0; i < kRuns; ++i) {
        run(static_cast<const char*>(weights_) + (i % copies) * weight_bytes);
      }
      check(cudaEventRecord(end_, stream_));
      check(cudaEventSynchronize(end_));
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, begin_, end_));
      best = std::min(best, static_cast<double>(milliseconds) * 1e3 / kRuns);
    }
    return best;
  }

  void measure(const Shape& shape, int64_t rows) {
    const int64_t bytes = shape.n * shape.k * 2;
    std::string line = fmt::format("{:10} {:5} rows", shape.name, rows);
    const auto rate = [&](double us) { return static_cast<double>(bytes) / us * 1e-6; };
    if (rows <= kSkinnyMaxRows) {
      const double us = time(bytes, [&](const void* w) { skinny(shape, rows, w); });
      line += fmt::format("  skinny {:6.1f} us {:4.2f} TB/s", us, rate(us));
    }
    const MatMul problem = matmul(shape, rows, weights_);
    const Result<int> offered = cublas_->algorithms(problem, false, kWorkspace);
    check(offered.status());
    line += "  cublas";
    for (int a = 0; a < *offered; ++a) {
      const double us = time(bytes, [&](const void* w) { product(shape, rows, w, a); });
      line += fmt::format(" {:6.1f}{}", us, a == 0 ? fmt::format(" ({:4.2f} TB/s)", rate(us)) : "");
    }
    std::puts(line.c_str());
    std::fflush(stdout);
  }

 private:
  void skinny(const Shape& shape, int64_t rows, const void* w) {
    check(skinny_gemm({.y = y_,
                       .x = x_,
                       .w = w,
                       .y_stride = shape.n,
                       .x_stride = shape.k,
                       .rows = static_cast<int>(rows),
                       .n = static_cast<int>(shape.n),
                       .k = static_cast<int>(shape.k),
                       .gated = shape.gated},
                      stream_));
  }

  MatMul matmul(const Shape& shape, int64_t rows, const void* w) const {
    MatMul p;
    p.y = y_;
    p.x = x_;
    p.w = w;
    p.y_type = p.x_type = p.w_type = ElementType::kBF16;
    p.m = rows;
    p.n = shape.n;
    p.k = shape.k;
    p.y_stride = shape.n;
    p.x_stride = p.w_stride = shape.k;
    return p;
  }

  void product(const Shape& shape, int64_t rows, const void* w, int algorithm) {
    check(cublas_->matmul(matmul(shape, rows, w),
                          nullptr,
                          {.data = workspace_, .bytes = kWorkspace, .stream = stream_},
                          algorithm));
    if (shape.gated) {  // what the skinny kernel does on its way
      const int64_t half = shape.n / 2;
      Rows y{.data = y_, .type = ElementType::kBF16, .n0 = rows, .width = half, .stride0 = shape.n};
      ConstRows gate{
          .data = y_, .type = ElementType::kBF16, .n0 = rows, .width = half, .stride0 = shape.n};
      ConstRows up = gate;
      up.data = static_cast<const char*>(y_) + half * 2;
      check(silu_mul(y, gate, up, stream_));
    }
  }

  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
  void* weights_ = nullptr;
  void* x_ = nullptr;
  void* y_ = nullptr;
  void* workspace_ = nullptr;
  std::unique_ptr<CublasLt> cublas_;
};

}  // namespace
}  // namespace tutti::cuda

int main(int argc, char** argv) {
  std::vector<int64_t> rows;
  for (int i = 1; i < argc; ++i) {
    rows.push_back(std::atoll(argv[i]));
  }
  if (rows.empty()) {
    rows = {1, 2, 4, 8, 12, 16, 24, 32, 64, 128, 256};
  }
  tutti::cuda::Bench bench;
  for (const auto& shape : tutti::cuda::kShapes) {
    for (const int64_t count : rows) {
      bench.measure(shape, count);
    }
  }
  return 0;
}
