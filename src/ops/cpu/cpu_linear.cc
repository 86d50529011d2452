// Matrix products of CpuOps: cuts the rows of the weights into pieces for the threads.
#include <algorithm>

#include "base/checked.h"
#include "ops/cpu/cpu_ops_impl.h"

namespace tutti {

namespace {

cpu::WeightType weight_type(const WeightFormat& format) {
  switch (format.kernels) {
    case WeightKernels::kF32:
      return cpu::WeightType::kF32;
    case WeightKernels::kF16:
      return cpu::WeightType::kF16;
    case WeightKernels::kBF16:
      return cpu::WeightType::kBF16;
    case WeightKernels::kE4M3Blocks:
      return cpu::WeightType::kF8E4M3;
    case WeightKernels::kNone:
      break;
  }
  return cpu::WeightType::kOther;
}

void dequantise(const void* w, int64_t matrix, int64_t n, int64_t k, int64_t count, float* out) {
  const auto& weight = *static_cast<const WeightView*>(w);
  weight.format().dequantise(weight.row(matrix, n, k), count, out);
}

// The part of a job that describes matrix g of the weight, which must outlive it.
cpu::LinearJob weight_job(const WeightView& weight, int64_t g) {
  cpu::LinearJob job;
  job.type = weight_type(weight.format());
  job.k = weight.cols();
  if (job.type == cpu::WeightType::kOther) {
    job.w = &weight;
    job.matrix = g;
    job.dequantise = dequantise;
    return job;
  }
  const WeightRow first = weight.row(g, 0);
  job.w = first.planes[0];
  job.w_stride = weight.values().stride(-2);
  if (job.type == cpu::WeightType::kF8E4M3) {
    job.scales = reinterpret_cast<const float*>(first.planes[1]);
    job.scale_stride = weight.scales().stride(-2);
    job.block_rows = weight.cell(1).rows;
    job.block_cols = weight.cell(1).cols;
  }
  return job;
}

}  // namespace

int64_t CpuOps::linear_piece(int64_t n, int64_t k, int64_t m) const {
  // Small enough that all threads end at about the same time, large enough that claiming a piece
  // (well below a microsecond) does not show; a multiple of the kernels' tiles.
  constexpr int64_t kMinProducts = int64_t{1} << 16;
  constexpr int64_t kPiecesPerThread = 8;
  const int64_t enough = ceil_div(kMinProducts, std::max<int64_t>(1, k * m));
  const int64_t even = ceil_div(n, pool_.threads() * kPiecesPerThread);
  return ceil_div(std::max(enough, even), cpu::kLinearTile) * cpu::kLinearTile;
}

template <class MakeJob>
void CpuOps::run_linear(int64_t matrices, int64_t n, int64_t piece, const MakeJob& make_job) {
  const int64_t pieces = ceil_div(n, piece);
  pool_.parallel_for(matrices * pieces, [&](int64_t i, int worker) {
    cpu::LinearJob job = make_job(i / pieces);
    if (job.m == 0) {
      return;
    }
    job.n_begin = i % pieces * piece;
    job.n_end = std::min(n, job.n_begin + piece);
    job.scratch = scratch_[static_cast<size_t>(worker)].get();
    kernels_.linear(job);
  });
}

void CpuOps::run(const op::Linear& args) {
  cpu::LinearJob job = weight_job(args.weight, 0);
  job.y = args.y.data<float>();
  job.y_stride = args.y.stride(0);
  job.x = args.x.data<float>();
  job.x_stride = args.x.stride(0);
  job.m = args.x.dim(0);
  job.bias = args.bias.defined() ? args.bias.data<float>() : nullptr;
  run_linear(1, args.weight.rows(), linear_piece(args.weight.rows(), job.k, job.m), [&](int64_t) {
    return job;
  });
}

void CpuOps::run(const op::GroupedLinear& args) {
  const auto* begin = args.offsets.data<int32_t>();
  const int64_t piece = linear_piece(args.weight.rows(), args.weight.cols(), 1);
  run_linear(args.weight.groups(), args.weight.rows(), piece, [&](int64_t g) {
    cpu::LinearJob job = weight_job(args.weight, g);
    job.y = args.y.data<float>() + begin[g] * args.y.stride(0);
    job.y_stride = args.y.stride(0);
    job.x = args.x.data<float>() + begin[g] * args.x.stride(0);
    job.x_stride = args.x.stride(0);
    job.m = begin[g + 1] - begin[g];
    return job;
  });
}

void CpuOps::run(const op::BatchedLinear& args) {
  const int64_t piece =
      linear_piece(args.weight.rows() * args.weight.groups(), args.weight.cols(), args.x.dim(0));
  run_linear(args.weight.groups(), args.weight.rows(), piece, [&](int64_t h) {
    cpu::LinearJob job = weight_job(args.weight, h);
    job.y = args.y.data<float>() + h * args.y.stride(1);
    job.y_stride = args.y.stride(0);
    job.x = args.x.data<float>() + h * args.x.stride(1);
    job.x_stride = args.x.stride(0);
    job.m = args.x.dim(0);
    return job;
  });
}

}  // namespace tutti
