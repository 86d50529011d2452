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

void CudaOps::do_embedding(TensorView y,
                           ConstTensorView table,
                           ConstTensorView ids,
                           int64_t first_id) {
  enter();
  finish(cuda::embedding(rows(y), const_rows(table), ids.data<int32_t>(), first_id, o_.stream),
         "embedding");
}

void CudaOps::do_rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) {
  enter();
  finish(cuda::rms_norm(rows(y), const_rows(x), weight.data<float>(), eps, o_.stream), "rms_norm");
}

void CudaOps::do_add_rms_norm(
    TensorView y, TensorView residual, ConstTensorView x, ConstTensorView weight, float eps) {
  enter();
  finish(cuda::add_rms_norm(
             rows(y), rows(residual), const_rows(x), weight.data<float>(), eps, o_.stream),
         "add_rms_norm");
}

void CudaOps::do_add(TensorView y, ConstTensorView x) {
  enter();
  finish(cuda::add(rows(y), const_rows(x), o_.stream), "add");
}

void CudaOps::do_silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) {
  enter();
  finish(cuda::silu_mul(rows(y), const_rows(gate), const_rows(up), o_.stream), "silu_mul");
}

void CudaOps::do_rope_table(TensorView table,
                            ConstTensorView positions,
                            ConstTensorView inv_freq,
                            float scale) {
  enter();
  finish(cuda::rope_table(
             rows(table), positions.data<int32_t>(), inv_freq.data<float>(), scale, o_.stream),
         "rope_table");
}

void CudaOps::do_rope(TensorView x, ConstTensorView table, RopeLayout layout) {
  enter();
  finish(cuda::rope(rows(x), const_rows(table), layout == RopeLayout::kInterleaved, o_.stream),
         "rope");
}

void CudaOps::do_write_kv(TensorView cache, ConstTensorView x, ConstTensorView slots) {
  enter();
  finish(cuda::write_kv(rows(cache), const_rows(x), slots.data<int32_t>(), o_.stream), "write_kv");
}

void CudaOps::do_rope_and_write_kv(TensorView q,
                                   TensorView k,
                                   ConstTensorView v,
                                   ConstTensorView table,
                                   RopeLayout layout,
                                   TensorView k_cache,
                                   TensorView v_cache,
                                   ConstTensorView slots) {
  enter();
  finish(cuda::rope_and_write_kv(rows(q),
                                 rows(k),
                                 const_rows(v),
                                 const_rows(table),
                                 layout == RopeLayout::kInterleaved,
                                 rows(k_cache),
                                 rows(v_cache),
                                 slots.data<int32_t>(),
                                 o_.stream),
         "rope_and_write_kv");
}

void CudaOps::do_gather_kv(TensorView y,
                           ConstTensorView cache,
                           const AttentionBatch& batch,
                           ConstTensorView key_begin) {
  enter();
  finish(cuda::gather_kv(
             rows(y), const_rows(cache), sequences(batch), key_begin.data<int32_t>(), o_.stream),
         "gather_kv");
}

void CudaOps::do_moe_route(TensorView experts,
                           TensorView weights,
                           ConstTensorView logits,
                           ConstTensorView bias,
                           const RouterParams& params) {
  enter();
  const Router router{.sigmoid = params.scoring == RouterScoring::kSigmoid,
                      .top_k = static_cast<int>(params.top_k),
                      .num_groups = static_cast<int>(params.num_groups),
                      .top_groups = static_cast<int>(params.top_groups),
                      .normalize = params.normalize,
                      .scale = params.scale};
  finish(cuda::moe_route(experts.data<int32_t>(),
                         experts.stride(0),
                         rows(weights),
                         const_rows(logits),
                         floats(bias),
                         router,
                         o_.stream),
         "moe_route");
}

void CudaOps::do_moe_permute(TensorView row_token,
                             TensorView pair_row,
                             TensorView offsets,
                             ConstTensorView experts) {
  enter();
  const PermuteProblem problem{.row_token = row_token.data<int32_t>(),
                               .pair_row = pair_row.data<int32_t>(),
                               .offsets = offsets.data<int32_t>(),
                               .chosen = experts.data<int32_t>(),
                               .pair_stride = pair_row.stride(0),
                               .chosen_stride = experts.stride(0),
                               .tokens = static_cast<int>(experts.dim(0)),
                               .top_k = static_cast<int>(experts.dim(1)),
                               .experts = static_cast<int>(offsets.dim(0) - 1)};
  finish(cuda::moe_permute(problem, o_.stream), "moe_permute");
}

void CudaOps::do_moe_combine(TensorView y,
                             ConstTensorView x,
                             ConstTensorView pair_row,
                             ConstTensorView weights) {
  enter();
  finish(cuda::moe_combine(rows(y),
                           const_rows(x),
                           pair_row.data<int32_t>(),
                           pair_row.stride(0),
                           const_rows(weights),
                           o_.stream),
         "moe_combine");
}

void CudaOps::do_gather_rows(TensorView y, ConstTensorView x, ConstTensorView rows_wanted) {
  enter();
  finish(cuda::gather_rows(
             rows(as_words(y)), rows(as_words(x)), rows_wanted.data<int32_t>(), o_.stream),
         "gather_rows");
}

void CudaOps::do_argmax(TensorView tokens, ConstTensorView logits, int64_t limit) {
  enter();
  finish(cuda::argmax(tokens.data<int32_t>(), const_rows(logits), limit, o_.stream), "argmax");
}

void CudaOps::do_shard_argmax(const ShardArgmax& args) {
  enter();
  finish(cuda::shard_argmax({args.best.data<float>(), args.best.stride(0)},
                            const_rows(args.logits),
                            args.first_id,
                            args.limit,
                            o_.stream),
         "shard_argmax");
}

void CudaOps::do_merge_argmax(const MergeArgmax& args) {
  enter();
  finish(cuda::merge_argmax(args.tokens.data<int32_t>(),
                            {args.best.data<float>(), args.best.stride(0)},
                            args.best.dim(0),
                            narrow<int>(args.best.dim(1) / 2),
                            o_.stream),
         "merge_argmax");
}

void CudaOps::do_draw(TensorView tokens,
                      ConstTensorView logits,
                      int64_t limit,
                      ConstTensorView rows) {
  static_assert(sizeof(DrawParams) == sizeof(DrawRow));
  enter();
  finish(cuda::draw(tokens.data<int32_t>(),
                    const_rows(logits),
                    limit,
                    reinterpret_cast<const DrawRow*>(rows.data<int32_t>()),
                    o_.stream),
         "draw");
}

void CudaOps::do_log_probs(TensorView ids,
                           TensorView values,
                           ConstTensorView tokens,
                           ConstTensorView logits,
                           int64_t limit,
                           ConstTensorView counts) {
  enter();
  finish(cuda::log_probs({ids.data<int32_t>(), ids.stride(0)},
                         {values.data<float>(), values.stride(0)},
                         tokens.data<int32_t>(),
                         const_rows(logits),
                         limit,
                         counts.data<int32_t>(),
                         o_.stream),
         "log_probs");
}

void CudaOps::do_adjust_logits(TensorView y,
                               ConstTensorView logits,
                               int64_t limit,
                               const AdjustTables& tables,
                               ConstTensorView rows) {
  enter();
  finish(cuda::adjust_logits({y.data<float>(), y.stride(0)},
                             const_rows(logits),
                             limit,
                             adjust_memory(tables),
                             adjust_rows(rows),
                             o_.stream),
         "adjust_logits");
}

void CudaOps::do_take_adjusted(TensorView chosen,
                               const AdjustTables& tables,
                               ConstTensorView tokens,
                               ConstTensorView rows) {
  enter();
  finish(cuda::take_adjusted(chosen.data<int32_t>(),
                             adjust_memory(tables),
                             tokens.data<int32_t>(),
                             adjust_rows(rows),
                             o_.stream),
         "take_adjusted");
}

void CudaOps::do_fill_tokens(TensorView tokens, ConstTensorView last, ConstTensorView rows) {
  enter();
  finish(cuda::fill_tokens(tokens.data<int32_t>(),
                           last.data<int32_t>(),
                           rows.data<int32_t>(),
                           tokens.dim(0),
                           o_.stream),
         "fill_tokens");
}

void CudaOps::do_scatter(TensorView y, ConstTensorView values, ConstTensorView at) {
  enter();
  finish(cuda::scatter(
             y.data<int32_t>(), values.data<int32_t>(), at.data<int32_t>(), at.dim(0), o_.stream),
         "scatter");
}

}  // namespace tutti::cuda
