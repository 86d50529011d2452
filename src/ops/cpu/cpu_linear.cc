// Matrix products of CpuOps: cuts the rows of the weights into pieces for the threads.
#include <algorithm>

#include "base/checked.h"
#include "ops/cpu/cpu_ops_impl.h"

namespace tutti {

namespace {

cpu::WeightType weight_type(const WeightView& weight) {
  switch (weight.data.dtype()) {
    case DType::kF16:
      return cpu::WeightType::kF16;
    case DType::kBF16:
      return cpu::WeightType::kBF16;
    case DType::kF8E4M3:
      return cpu::WeightType::kF8E4M3;
    default:
      return cpu::WeightType::kF32;
  }
}

// The part of a job that describes matrix g of the weight.
cpu::LinearJob weight_job(const WeightView& weight, int64_t g) {
  cpu::LinearJob job;
  job.type = weight_type(weight);
  job.k = weight.cols();
  job.w_stride = weight.data.stride(-2);
  const int64_t matrix = weight.data.rank() == 3 ? g * weight.data.stride(0) : 0;
  job.w =
      static_cast<const std::byte*>(weight.data.raw()) + matrix * dtype_size(weight.data.dtype());
  if (weight.quantized()) {
    const int64_t grid = weight.scales.rank() == 3 ? g * weight.scales.stride(0) : 0;
    job.scales = weight.scales.data<float>() + grid;
    job.scale_stride = weight.scales.stride(-2);
    job.scale_row = weight.scale_row.data<int32_t>();
    job.block_k = weight.block_k;
    job.phase_k = weight.phase_k;
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
