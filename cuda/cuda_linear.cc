// linear, grouped_linear, batched_linear: which product goes where. Of single dense matrices in
// bf16 a handful of rows take the skinny kernel, a pass over the weights at memory speed; more rows
// and f32 go to cuBLASLt. Experts in bf16, matrices per head, matrices of few outputs and a handful
// of rows times scaled e4m3 have kernels of their own. The simple kernel takes everything else
// (more rows of e4m3, mixed types, odd widths).
#include "comm/communicator.h"
#include "cuda/cuda_error.h"
#include "cuda/cuda_ops.h"
#include "cuda/kernels/combine_gemm.h"
#include "cuda/kernels/few_rows_gemm.h"
#include "cuda/kernels/grouped_gemm_sm90.h"
#include "cuda/kernels/skinny_gemm.h"
#include "cuda/kernels/tensor_map.h"
#include "cuda/ops/matmul.h"
#include "cuda/views.h"

namespace tutti::cuda {

namespace {

constexpr int64_t kBiasBytes = int64_t{1} << 20;  // widest bias: 524,288 bf16 values

int64_t batch_stride(const ConstTensorView& stacked) {
  return stacked.rank() == 3 ? stacked.stride(0) : 0;
}

// What all three ops have in common; y and x are [rows, .., width].
MatMul problem_of(TensorView y, ConstTensorView x, const WeightView& weight) {
  MatMul p;
  p.y = y.raw();
  p.x = x.raw();
  p.w = weight.values().raw();
  p.y_type = element_type(y.dtype());
  p.x_type = element_type(x.dtype());
  p.w_type = element_type(weight.values().dtype());
  p.m = x.dim(0);
  p.n = weight.rows();
  p.k = weight.cols();
  p.y_stride = y.stride(0);
  p.x_stride = x.stride(0);
  p.w_stride = weight.values().stride(-2);
  p.w_batch = batch_stride(weight.values());
  if (weight.format().kernels == WeightKernels::kE4M3Blocks) {
    p.scales = weight.scales().data<float>();
    p.scale_stride = weight.scales().stride(-2);
    p.scale_batch = batch_stride(weight.scales());
    p.block_n = weight.cell(1).rows;
    p.block_k = weight.cell(1).cols;
  }
  return p;
}

bool skinny_fits(const MatMul& p) {
  return CublasLt::fits(p) && p.batches == 1 && p.x_type == ElementType::kBF16 &&
         p.m <= kSkinnyMaxRows && p.w_stride == p.k && p.k % 8 == 0;
}

// By bench/cuda/matmul_bench on an H200: up to 8 rows the skinny kernel wins at every shape. At 12
// and 16 it loses where few outputs have long sums (4096 x 14336: 38.1 us against 33.1), and is
// even or ahead elsewhere (37888 x 3584 with the gate applied: 71.1 against 76.2).
bool skinny_wins(const MatMul& p) {
  constexpr int64_t kAlwaysRows = 8;
  return skinny_fits(p) && (p.m <= kAlwaysRows || p.k < 2 * p.n);
}

// Large products are close to their limit whichever way they are computed.
bool worth_measuring(const MatMul& p) {
  constexpr int64_t kMostRows = 512;
  return p.x_type == ElementType::kBF16 && p.m % 8 == 0 && p.m <= kMostRows;
}

SkinnyGemm skinny_problem(const MatMul& p) {
  return {.y = p.y,
          .x = p.x,
          .w = p.w,
          .bias = p.bias,
          .y_stride = p.y_stride,
          .x_stride = p.x_stride,
          .rows = static_cast<int>(p.m),
          .n = static_cast<int>(p.n),
          .k = static_cast<int>(p.k),
          .f32_out = p.y_type == ElementType::kF32};
}

bool aligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

// What the kernels for experts and for e4m3 blocks want of a product.
bool own_fits(const MatMul& p) {
  const bool scaled = p.w_type == ElementType::kE4M3;
  const bool weights =
      scaled ? p.block_k == 128 && p.k % 16 == 0 : p.w_type == ElementType::kBF16 && p.k % 8 == 0;
  const bool result = p.y_type == ElementType::kBF16 || p.y_type == ElementType::kF32;
  return weights && result && p.x_type == ElementType::kBF16 && p.bias == nullptr &&
         p.w_stride == p.k && (p.batches == 1 || p.w_batch == p.n * p.k) && p.x_stride % 8 == 0 &&
         p.x_batch % 8 == 0 && aligned(p.x) && aligned(p.w);
}

bool tiles_fit(const MatMul& p, bool gated) {
  return own_fits(p) && p.y_type == ElementType::kBF16 && p.batches <= kGroupedMaxGroups &&
         (gated ? p.n / 2 : p.n) % 8 == 0 && p.y_stride % 8 == 0 && aligned(p.y);
}

// A dense matrix of so few outputs that the skinny kernel, which has a block for each 16 or 32 of
// them, leaves most multiprocessors idle.
bool narrow(const MatMul& p) {
  constexpr int64_t kOutputs = 1024;
  constexpr int64_t kLong = 1024;
  return p.m <= kFewRows && p.n <= kOutputs && p.k >= kLong;
}

// By bench/cuda/expert_bench on an H200: with a row for every expert tiles are even with the kernel
// for few rows. A single matrix that takes that kernel twice reads its weights twice.
bool few_rows(const MatMul& p) {
  const bool scaled = p.w_type == ElementType::kE4M3;
  const bool grouped = p.offsets != nullptr;
  return p.m <= (scaled && !grouped ? kFewRows : 2 * kFewRows) || (grouped && p.m < p.batches);
}

// Whether a matrix may stand beside the experts of a mixture as one of them.
bool like_an_expert(const MatMul& expert, const MatMul& p) {
  return own_fits(p) && p.w_type == expert.w_type && p.n == expert.n && p.k == expert.k &&
         p.y_type == expert.y_type && p.block_n == expert.block_n &&
         p.scale_stride == expert.scale_stride;
}

BlockScales scales_of(const MatMul& p) {
  return {.data = p.scales,
          .rows = static_cast<int>(p.block_n),
          .row_stride = p.scale_stride,
          .group_stride = p.scale_batch};
}

}  // namespace

Status CudaOps::supports(const OpCall& op) const {
  return op.visit([](const auto& args) -> Status {
    if constexpr (requires { args.weight.format(); }) {
      const WeightView& weight = args.weight;
      if (weight.format().kernels == WeightKernels::kNone) {
        return error(
            StatusCode::kUnsupported,
            "{}: stored as {}, which the cuda operations cannot multiply by ({} {}x{}); "
            "wanted F32, F16, BF16 or F8_E4M3 blocks: use another checkpoint of the model, "
            "or ‹device› cpu",
            weight.name,
            weight.format().name,
            args.kName,
            weight.rows(),
            weight.cols());
      }
    }
    return ok_status();
  });
}

// Rows of x as e4m3 with a factor per 128 columns; false if there is no room for them.
bool CudaOps::quantize(const OwnProduct& own, QuantizeRows& q, const char* op) {
  const MatMul& p = own.p;
  const TensorView& scratch = own.scratch;
  if (!scratch.defined()) {
    return false;
  }
  const int64_t bytes = dtype_size(scratch.dtype());
  const int64_t values = (p.k + 15) / 16 * 16;
  if (scratch.dim(0) < own.x_rows_count || !aligned(scratch.raw()) ||
      scratch.stride(0) * bytes % 16 != 0 ||
      scratch.dim(1) * bytes < kE4M3BlockWeights.activation_row_bytes(p.k)) {
    return false;
  }
  q.x = p.x;
  q.values = scratch.raw();
  q.scales = reinterpret_cast<float*>(static_cast<std::byte*>(scratch.raw()) + values);
  q.x_stride = p.x_stride;
  q.value_stride = scratch.stride(0) * bytes;
  q.scale_stride = q.value_stride / static_cast<int64_t>(sizeof(float));
  q.rows = own.x_rows_count;
  q.k = static_cast<int>(p.k);
  finish(quantize_rows(q, o_.stream), op);
  return true;
}

bool CudaOps::run_tiles(const OwnProduct& own, const char* op) {
  const MatMul& p = own.p;
  const bool scaled = p.w_type == ElementType::kE4M3;
  if (o_.gpu.compute_capability != 90 || !tiles_fit(p, own.gated)) {
    return false;
  }
  enter();
  QuantizeRows q;
  if (scaled && !quantize(own, q, op)) {
    return false;
  }
  const auto map_of = [&](const void* data, int64_t rows, int64_t stride, int box_rows) {
    Result<CUtensorMap> map = scaled ? make_byte_tensor_map(data, rows, p.k, stride, box_rows)
                                     : make_bf16_tensor_map(data, rows, p.k, stride, box_rows);
    if (!map.ok()) {
      throw DeviceError(fmt::format("{}: {}", op, map.status().message()));
    }
    return *map;
  };
  const void* x = scaled ? q.values : p.x;
  const int64_t x_stride = scaled ? q.value_stride : p.x_stride;
  const int tile_rows = grouped_tile_rows(static_cast<int>(p.m), static_cast<int>(p.batches));
  const CUtensorMap w_map = map_of(p.w, p.batches * p.n, p.k, 64);
  const CUtensorMap x_map = own.x_rows == nullptr ? map_of(x, p.m, x_stride, tile_rows) : w_map;
  ++calls_.grouped_gemm;
  finish(grouped_gemm({.y = p.y,
                       .x = x,
                       .x_scales = q.scales,
                       .scales = scales_of(p),
                       .x_rows = own.x_rows,
                       .offsets = p.offsets,
                       .y_stride = p.y_stride,
                       .x_stride = x_stride,
                       .x_scale_stride = q.scale_stride,
                       .rows = static_cast<int>(p.m),
                       .groups = static_cast<int>(p.batches),
                       .n = static_cast<int>(p.n),
                       .k = static_cast<int>(p.k),
                       .gated = own.gated,
                       .tile_rows = tile_rows},
                      w_map,
                      x_map,
                      o_.stream),
         op);
  return true;
}

bool CudaOps::run_own(const OwnProduct& own, const char* op) {
  const MatMul& p = own.p;
  const bool scaled = p.w_type == ElementType::kE4M3;
  const bool grouped = p.offsets != nullptr;
  if (!grouped && !scaled && !(p.batches > 1 ? p.m <= 2 * kFewRows : narrow(p))) {
    return false;
  }
  const bool few = few_rows(p);
  if (!few && (grouped || p.batches == 1) && run_tiles(own, op)) {
    return true;
  }
  if (!own_fits(p) || !(grouped || few)) {
    return false;
  }
  enter();
  ++calls_.few_rows_gemm;
  finish(few_rows_gemm({.y = p.y,
                        .x = p.x,
                        .w = p.w,
                        .scales = scales_of(p),
                        .x_rows = own.x_rows,
                        .offsets = p.offsets,
                        .y_stride = p.y_stride,
                        .x_stride = p.x_stride,
                        .y_group = p.y_batch,
                        .x_group = p.x_batch,
                        .rows = static_cast<int>(p.m),
                        .most_rows = static_cast<int>(own.x_rows != nullptr ? own.x_rows_count : 0),
                        .groups = static_cast<int>(p.batches),
                        .n = static_cast<int>(p.n),
                        .k = static_cast<int>(p.k),
                        .gated = own.gated,
                        .f32_out = p.y_type == ElementType::kF32,
                        .beside = {.y = own.beside.y,
                                   .w = own.beside.w,
                                   .scales = own.beside.scales,
                                   .rows = static_cast<int>(own.beside.m)}},
                       o_.stream),
         op);
  return true;
}

bool CudaOps::takes_along(const OwnProduct& own, const MatMul& beside) const {
  return own.p.m > 0 && beside.m > 0 && few_rows(own.p) && own_fits(own.p) &&
         like_an_expert(own.p, beside) && beside.x == own.p.x && beside.y_stride == own.p.y_stride;
}

void CudaOps::run_matmul(const MatMul& p, const char* op) {
  enter();
  if (skinny_wins(p)) {
    ++calls_.skinny_gemm;
    finish(skinny_gemm(skinny_problem(p), o_.stream), op);
    return;
  }
  if (!CublasLt::fits(p) || p.n * 2 > kBiasBytes) {
    ++calls_.simple_matmul;
    finish(cuda::simple_matmul(p, o_.stream), op);
    return;
  }
  ++calls_.cublaslt;
  // cuBLASLt wants a bias of y's type; the front part of the workspace takes the converted one.
  auto* workspace = static_cast<std::byte*>(o_.workspace.data());
  const void* bias = p.bias;
  if (bias != nullptr && p.y_type != ElementType::kF32) {
    finish(cuda::round_to_bf16(workspace, p.bias, p.n, o_.stream), op);
    bias = workspace;
  }
  CublasLt::Workspace space{.data = workspace + kBiasBytes,
                            .bytes = o_.workspace.bytes() - kBiasBytes,
                            .stream = o_.stream,
                            .rehearsal = rehearsal_};
  if (rehearsal_ && worth_measuring(p)) {
    space.spoiler = o_.decode_partials.data();
    space.spoiler_bytes = o_.decode_partials.bytes();
  }
  const Status status = o_.cublas->matmul(p, bias, space);
  if (!status.ok()) {
    throw DeviceError(fmt::format("{}: {}", op, status.message()));
  }
  finish(cudaGetLastError(), op);
}

void CudaOps::run(const op::Linear& args) {
  MatMul p = problem_of(args.y, args.x, args.weight);
  p.bias = floats(args.bias);
  if (!run_own({.p = p, .scratch = args.scratch, .x_rows_count = p.m}, "linear")) {
    run_matmul(p, "linear");
  }
}

void CudaOps::run(const op::GatedLinear& args) {
  const MatMul p = problem_of(args.y, args.x, args.weight);
  if (!args.bias.defined() &&
      run_own({.p = p, .scratch = args.scratch, .x_rows_count = p.m, .gated = true},
              "gated_linear")) {
    return;
  }
  if (!skinny_wins(p) || args.bias.defined()) {
    return run_in_parts(*this, args);
  }
  enter();
  SkinnyGemm gated = skinny_problem(p);
  gated.gated = true;
  ++calls_.skinny_gemm;
  finish(skinny_gemm(gated, o_.stream), "gated_linear");
}

void CudaOps::run(const op::GroupedLinear& args) {
  MatMul p = problem_of(args.y, args.x, args.weight);
  p.batches = args.weight.groups();
  p.offsets = args.offsets.data<int32_t>();
  if (!run_own({.p = p, .scratch = args.scratch, .x_rows_count = p.m}, "grouped_linear")) {
    run_matmul(p, "grouped_linear");
  }
}

void CudaOps::run(const op::GroupedGatedLinear& args) {
  MatMul p = problem_of(args.y, args.x, args.weight);
  p.m = args.rows.dim(0);
  p.batches = args.weight.groups();
  p.offsets = args.offsets.data<int32_t>();
  OwnProduct own{.p = p,
                 .scratch = args.gathered,
                 .x_rows = args.rows.data<int32_t>(),
                 .x_rows_count = args.x.dim(0),
                 .gated = true};
  if (args.beside.y.defined()) {
    const MatMul beside = problem_of(args.beside.y, args.beside.x, args.beside.weight);
    if (!args.beside.bias.defined() && takes_along(own, beside)) {
      own.beside = beside;
    } else {
      run(args.beside);
    }
  }
  if (!run_own(own, "grouped_gated_linear")) {
    op::GroupedGatedLinear alone = args;
    alone.beside = {};  // done
    run_in_parts(*this, alone);
  }
}

void CudaOps::run(const op::GroupedLinearCombine& args) {
  MatMul p = problem_of(args.y, args.x, args.weight);
  p.batches = args.weight.groups();
  const int64_t tokens = args.y.dim(0);
  const bool beside = args.beside.y.defined();
  MatMul shared;
  if (beside) {
    // Of the type and with the rows that y has.
    shared = problem_of(args.y, args.beside.x, args.beside.weight);
  }
  const bool shared_fits = !beside || (!args.beside.bias.defined() && like_an_expert(p, shared));
  if (tokens > kCombineTokens || p.y_type != ElementType::kBF16 || !own_fits(p) || !shared_fits) {
    return run_in_parts(*this, args);
  }
  enter();
  ++calls_.combine_gemm;
  finish(combine_gemm({.y = p.y,
                       .x = p.x,
                       .w = p.w,
                       .scales = scales_of(p),
                       .experts = args.experts.data<int32_t>(),
                       .weights = args.weights.data<float>(),
                       .pair_row = args.pair_row.data<int32_t>(),
                       .shared_w = shared.w,
                       .shared_scales = shared.scales,
                       .shared_x = shared.x,
                       .y_stride = p.y_stride,
                       .x_stride = p.x_stride,
                       .shared_x_stride = shared.x_stride,
                       .expert_stride = args.experts.stride(0),
                       .weight_stride = args.weights.stride(0),
                       .pair_stride = args.pair_row.stride(0),
                       .tokens = static_cast<int>(tokens),
                       .top_k = static_cast<int>(args.experts.dim(1)),
                       .n = static_cast<int>(p.n),
                       .k = static_cast<int>(p.k)},
                      o_.stream),
         "grouped_linear_combine");
}

void CudaOps::run(const op::BatchedLinear& args) {
  MatMul p = problem_of(args.y, args.x, args.weight);
  p.batches = args.weight.groups();
  p.y_batch = args.y.stride(1);
  p.x_batch = args.x.stride(1);
  if (!run_own({.p = p, .x_rows_count = p.m}, "batched_linear")) {
    run_matmul(p, "batched_linear");
  }
}

}  // namespace tutti::cuda
