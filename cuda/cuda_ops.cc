#include "cuda/cuda_ops.h"

#include "comm/communicator.h"
#include "cuda/cuda_error.h"
#include "cuda/ops/adjust.h"
#include "cuda/ops/draw.h"
#include "cuda/ops/feedback.h"
#include "cuda/ops/log_probs.h"
#include "cuda/ops/moe.h"
#include "cuda/ops/rows.h"
#include "cuda/ops/sample.h"
#include "cuda/views.h"

namespace tutti::cuda {

namespace {

// Integers that are only moved travel as floats of the same width.
template <class Void>
BasicTensorView<Void> as_words(const BasicTensorView<Void>& view) {
  return view.dtype() == DType::kI32
             ? BasicTensorView<Void>(view.raw(), DType::kF32, view.shape(), view.strides())
             : view;
}

AdjustRows adjust_rows(ConstTensorView rows) {
  static_assert(sizeof(AdjustParams) == sizeof(AdjustRow));
  return {reinterpret_cast<const AdjustRow*>(rows.data<int32_t>()), narrow<int>(rows.dim(0))};
}

AdjustMemory adjust_memory(const AdjustTables& tables) {
  return {{tables.seen.data<int32_t>(), tables.seen.stride(0)},
          {tables.allowed.data<int32_t>(), tables.allowed.stride(0)},
          {tables.edits.data<int32_t>(), tables.edits.stride(0)}};
}

Router router(const RouterParams& params) {
  return {.sigmoid = params.scoring == RouterScoring::kSigmoid,
          .top_k = static_cast<int>(params.top_k),
          .num_groups = static_cast<int>(params.num_groups),
          .top_groups = static_cast<int>(params.top_groups),
          .normalize = params.normalize,
          .scale = params.scale};
}

PermuteProblem pairs(TensorView row_token,
                     TensorView pair_row,
                     TensorView offsets,
                     ConstTensorView experts) {
  return {.row_token = row_token.data<int32_t>(),
          .pair_row = pair_row.data<int32_t>(),
          .offsets = offsets.data<int32_t>(),
          .chosen = experts.data<int32_t>(),
          .pair_stride = pair_row.stride(0),
          .chosen_stride = experts.stride(0),
          .tokens = static_cast<int>(experts.dim(0)),
          .top_k = static_cast<int>(experts.dim(1)),
          .experts = static_cast<int>(offsets.dim(0) - 1)};
}

}  // namespace

Status CudaOps::check_compute(DType act) const {
  if (act == DType::kF32 || act == DType::kBF16) {
    return ok_status();
  }
  return error(StatusCode::kUnsupported,
               "the cuda operations compute in f32 and bf16, not in {}",
               dtype_name(act));
}

void CudaOps::enter() const {
  throw_if_failed(cudaSetDevice(o_.gpu.index), "cudaSetDevice");
}

void CudaOps::finish(cudaError_t code, const char* op) const {
  throw_if_failed(code, op);
#ifdef TUTTI_CUDA_SYNC_EVERY_OP
  cudaStreamCaptureStatus capture{};
  throw_if_failed(cudaStreamIsCapturing(o_.stream, &capture), op);
  if (capture == cudaStreamCaptureStatusNone) {
    throw_if_failed(cudaStreamSynchronize(o_.stream), op);
  }
#endif
}

void CudaOps::run(const op::Embedding& args) {
  enter();
  finish(
      cuda::embedding(
          rows(args.y), const_rows(args.table), args.ids.data<int32_t>(), args.first_id, o_.stream),
      "embedding");
}

void CudaOps::run(const op::RmsNorm& args) {
  enter();
  finish(cuda::rms_norm(
             rows(args.y), const_rows(args.x), args.weight.data<float>(), args.eps, o_.stream),
         "rms_norm");
}

void CudaOps::run(const op::AddRmsNorm& args) {
  enter();
  finish(cuda::add_rms_norm(rows(args.y),
                            rows(args.residual),
                            const_rows(args.x),
                            args.weight.data<float>(),
                            args.eps,
                            o_.stream),
         "add_rms_norm");
}

void CudaOps::run(const op::LayerNorm& args) {
  enter();
  finish(cuda::layer_norm(rows(args.y),
                          const_rows(args.x),
                          args.weight.data<float>(),
                          floats(args.bias),
                          args.eps,
                          o_.stream),
         "layer_norm");
}

void CudaOps::run(const op::SumSquares& args) {
  enter();
  finish(cuda::sum_squares({args.y.data<float>(), args.y.stride(0)},
                           const_rows(args.x),
                           args.also.defined() ? const_rows(args.also) : ConstRows{},
                           o_.stream),
         "sum_squares");
}

void CudaOps::run(const op::NormPart& args) {
  enter();
  finish(cuda::norm_part(rows(args.y),
                         const_rows(args.x),
                         args.weight.data<float>(),
                         {args.squares.data<float>(), args.squares.stride(0)},
                         args.width,
                         args.eps,
                         o_.stream),
         "norm_part");
}

void CudaOps::run(const op::Add& args) {
  enter();
  finish(cuda::add(rows(args.y), const_rows(args.x), o_.stream), "add");
}

void CudaOps::run(const op::SiluMul& args) {
  enter();
  finish(cuda::silu_mul(rows(args.y), const_rows(args.gate), const_rows(args.up), o_.stream),
         "silu_mul");
}

void CudaOps::run(const op::GeluMul& args) {
  enter();
  finish(cuda::gelu_mul(
             rows(args.y), const_rows(args.gate), const_rows(args.up), args.tanh, o_.stream),
         "gelu_mul");
}

void CudaOps::run(const op::RopeTable& args) {
  enter();
  finish(cuda::rope_table(rows(args.table),
                          args.positions.data<int32_t>(),
                          args.inv_freq.data<float>(),
                          args.scale,
                          o_.stream),
         "rope_table");
}

void CudaOps::run(const op::Rope& args) {
  enter();
  finish(
      cuda::rope(
          rows(args.x), const_rows(args.table), args.layout == RopeLayout::kInterleaved, o_.stream),
      "rope");
}

void CudaOps::run(const op::WriteKv& args) {
  enter();
  finish(cuda::write_kv(
             rows(args.cache), const_rows(args.x), args.kv_places.data<int32_t>(), o_.stream),
         "write_kv");
}

void CudaOps::run(const op::RopeAndWriteKv& args) {
  HeadNorms norms{.q = floats(args.q_norm), .k = floats(args.k_norm), .eps = args.norm_eps};
  if (args.squares.defined()) {
    norms.squares = {args.squares.data<float>(), args.squares.stride(0)};
    norms.q_width = static_cast<float>(args.q_width);
    norms.k_width = static_cast<float>(args.k_width);
  }
  enter();
  finish(cuda::rope_and_write_kv(rows(args.q),
                                 rows(args.k),
                                 const_rows(args.v),
                                 const_rows(args.table),
                                 args.layout == RopeLayout::kInterleaved,
                                 rows(args.k_cache),
                                 rows(args.v_cache),
                                 args.kv_places.data<int32_t>(),
                                 norms,
                                 o_.stream),
         "rope_and_write_kv");
}

void CudaOps::run(const op::WriteLatent& args) {
  enter();
  finish(cuda::write_latent({.latent = rows(args.latent),
                             .norm = args.norm.data<float>(),
                             .normed = args.norm.dim(0),
                             .table = const_rows(args.table),
                             .interleaved = args.layout == RopeLayout::kInterleaved,
                             .cache = rows(args.cache),
                             .kv_places = args.kv_places.data<int32_t>(),
                             .q = args.q.defined() ? rows(args.q) : Rows{},
                             .q_norm = floats(args.q_norm),
                             .eps = args.eps},
                            o_.stream),
         "write_latent");
}

void CudaOps::run(const op::GatherKv& args) {
  enter();
  finish(cuda::gather_kv(rows(args.y),
                         const_rows(args.cache),
                         sequences(args.batch),
                         args.key_begin.data<int32_t>(),
                         o_.stream),
         "gather_kv");
}

void CudaOps::run(const op::MoeRoute& args) {
  enter();
  finish(cuda::moe_route(args.experts.data<int32_t>(),
                         args.experts.stride(0),
                         rows(args.weights),
                         const_rows(args.logits),
                         floats(args.bias),
                         router(args.params),
                         o_.stream),
         "moe_route");
}

void CudaOps::run(const op::MoePermute& args) {
  enter();
  finish(cuda::moe_permute(pairs(args.row_token, args.pair_row, args.offsets, args.experts),
                           o_.stream),
         "moe_permute");
}

void CudaOps::run(const op::MoeAssign& args) {
  const AssignProblem problem{
      .pairs = pairs(args.row_token, args.pair_row, args.offsets, args.experts),
      .chosen = args.experts.data<int32_t>(),
      .weights = {args.weights.data<float>(), args.weights.stride(0)},
      .logits = {args.logits.data<float>(), args.logits.stride(0)},
      .bias = floats(args.bias),
      .router = router(args.params)};
  if (!moe_assign_fits(problem)) {
    return run_in_parts(*this, args);
  }
  enter();
  finish(cuda::moe_assign(problem, o_.stream), "moe_assign");
}

void CudaOps::run(const op::MoeCombine& args) {
  enter();
  finish(cuda::moe_combine(rows(args.y),
                           const_rows(args.x),
                           args.pair_row.data<int32_t>(),
                           args.pair_row.stride(0),
                           const_rows(args.weights),
                           args.added.defined() ? const_rows(args.added) : ConstRows{},
                           o_.stream),
         "moe_combine");
}

void CudaOps::run(const op::GatherRows& args) {
  enter();
  finish(cuda::gather_rows(
             rows(as_words(args.y)), rows(as_words(args.x)), args.rows.data<int32_t>(), o_.stream),
         "gather_rows");
}

void CudaOps::run(const op::Argmax& args) {
  enter();
  finish(cuda::argmax(args.tokens.data<int32_t>(), const_rows(args.logits), args.limit, o_.stream),
         "argmax");
}

void CudaOps::run(const op::ShardArgmax& args) {
  enter();
  finish(cuda::shard_argmax({args.best.data<float>(), args.best.stride(0)},
                            const_rows(args.logits),
                            args.first_id,
                            args.limit,
                            o_.stream),
         "shard_argmax");
}

void CudaOps::run(const op::MergeArgmax& args) {
  enter();
  finish(cuda::merge_argmax(args.tokens.data<int32_t>(),
                            {args.best.data<float>(), args.best.stride(0)},
                            args.best.dim(0),
                            narrow<int>(args.best.dim(1) / 2),
                            o_.stream),
         "merge_argmax");
}

void CudaOps::run(const op::Draw& args) {
  static_assert(sizeof(DrawParams) == sizeof(DrawRow));
  enter();
  finish(cuda::draw(args.tokens.data<int32_t>(),
                    const_rows(args.logits),
                    args.limit,
                    reinterpret_cast<const DrawRow*>(args.rows.data<int32_t>()),
                    o_.stream),
         "draw");
}

void CudaOps::run(const op::LogProbs& args) {
  enter();
  finish(cuda::log_probs({args.ids.data<int32_t>(), args.ids.stride(0)},
                         {args.values.data<float>(), args.values.stride(0)},
                         args.tokens.data<int32_t>(),
                         const_rows(args.logits),
                         args.limit,
                         args.counts.data<int32_t>(),
                         o_.stream),
         "log_probs");
}

void CudaOps::run(const op::AdjustLogits& args) {
  enter();
  finish(cuda::adjust_logits({args.y.data<float>(), args.y.stride(0)},
                             const_rows(args.logits),
                             args.limit,
                             adjust_memory(args.tables),
                             adjust_rows(args.rows),
                             o_.stream),
         "adjust_logits");
}

void CudaOps::run(const op::TakeAdjusted& args) {
  enter();
  finish(cuda::take_adjusted(args.sampled.data<int32_t>(),
                             adjust_memory(args.tables),
                             args.tokens.data<int32_t>(),
                             adjust_rows(args.rows),
                             o_.stream),
         "take_adjusted");
}

void CudaOps::run(const op::FillTokens& args) {
  enter();
  finish(cuda::fill_tokens(args.tokens.data<int32_t>(),
                           args.last.data<int32_t>(),
                           args.rows.data<int32_t>(),
                           args.tokens.dim(0),
                           o_.stream),
         "fill_tokens");
}

void CudaOps::run(const op::Scatter& args) {
  enter();
  finish(cuda::scatter(args.y.data<int32_t>(),
                       args.values.data<int32_t>(),
                       args.at.data<int32_t>(),
                       args.at.dim(0),
                       o_.stream),
         "scatter");
}

}  // namespace tutti::cuda
