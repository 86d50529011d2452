// The attentions: which kernel computes what. The fast kernels of cuda/kernels take bf16 at the
// head widths and block sizes they were made for; the simple ones take every shape.
#include "comm/communicator.h"
#include "cuda/cuda_ops.h"
#include "cuda/kernels/mla_decode.h"
#include "cuda/kernels/mla_prefill.h"
#include "cuda/kernels/paged_attention.h"
#include "cuda/kernels/tensor_map.h"
#include "cuda/ops/attention.h"
#include "cuda/ops/rows.h"
#include "cuda/views.h"

namespace tutti::cuda {

namespace {

// Heads side by side, one width for keys and values, caches without gaps.
bool is_plain(TensorView out, ConstTensorView q, ConstTensorView k, ConstTensorView v) {
  return q.dtype() == DType::kBF16 && q.dim(2) == out.dim(2) && q.stride(1) == q.dim(2) &&
         out.stride(1) == out.dim(2) && k.contiguous() && v.contiguous() && q.dim(0) > 0;
}

PagedAttention problem_of(TensorView out,
                          ConstTensorView q,
                          ConstTensorView k_cache,
                          ConstTensorView v_cache,
                          const AttentionBatch& batch,
                          float scale) {
  return {.out = out.raw(),
          .q = q.raw(),
          .k_cache = k_cache.raw(),
          .v_cache = v_cache.raw(),
          .query_begin = batch.query_begin.data<int32_t>(),
          .context_before = batch.context_before.data<int32_t>(),
          .block_table = batch.block_table.data<int32_t>(),
          .out_stride = out.stride(0),
          .q_stride = q.stride(0),
          .tokens = q.dim(0),
          .blocks = k_cache.dim(0),
          .table_stride = static_cast<int>(batch.block_table.stride(0)),
          .sequences = static_cast<int>(batch.context_before.dim(0)),
          .heads = static_cast<int>(q.dim(1)),
          .kv_heads = static_cast<int>(k_cache.dim(2) / q.dim(2)),
          .head_dim = static_cast<int>(q.dim(2)),
          .block_size = static_cast<int>(batch.block_size),
          .scale = scale};
}

bool aligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

// One query row for every sequence: then row i belongs to sequence i.
bool is_decoding(const AttentionBatch& batch, int64_t rows) {
  return batch.max_queries == 1 && rows == batch.context_before.dim(0);
}

// What the kernels for MLA were made for.
bool is_deepseek(const op::MlaAttention& a) {
  return a.out.dtype() == DType::kBF16 && a.out.dim(2) == kMlaLatent &&
         a.q_rope.dim(2) == kMlaRope && a.out.contiguous() && a.q_latent.contiguous() &&
         a.cache.contiguous() && a.q_rope.stride(0) % 8 == 0 && a.q_rope.stride(1) % 8 == 0 &&
         aligned(a.q_latent.raw()) && aligned(a.q_rope.raw()) && aligned(a.cache.raw());
}

bool mla_decode_fits(const op::MlaAttention& a, int multiprocessors) {
  const int64_t block = a.batch.block_size;
  return is_deepseek(a) && (block & (block - 1)) == 0 && is_decoding(a.batch, a.out.dim(0)) &&
         a.out.dim(0) > 0 && a.out.dim(0) <= 65535 &&
         mla_decode_partials(
             static_cast<int>(a.out.dim(0)), static_cast<int>(a.out.dim(1)), multiprocessors) *
                 static_cast<int64_t>(sizeof(float)) <=
             kDecodePartialBytes;
}

void throw_if_failed(const Status& status) {
  if (!status.ok()) {
    throw DeviceError(status.message());
  }
}

}  // namespace

bool CudaOps::decode_fits(const PagedAttention& p, const AttentionBatch& batch) const {
  return is_decoding(batch, p.tokens) && decode_attention_fits(p, o_.gpu.compute_capability).ok() &&
         p.sequences * p.kv_heads <= kMaxDecodePairs &&
         decode_partials(p.sequences, p.heads, p.kv_heads, p.head_dim, o_.gpu.multiprocessors) *
                 static_cast<int64_t>(sizeof(float)) <=
             kDecodePartialBytes;
}

void CudaOps::run(const op::Attention& args) {
  enter();
  if (is_plain(args.out, args.q, args.k_cache, args.v_cache)) {
    const PagedAttention p =
        problem_of(args.out, args.q, args.k_cache, args.v_cache, args.batch, args.scale);
    if (decode_fits(p, args.batch)) {
      const DecodeScratch scratch{.partials = static_cast<float*>(o_.decode_partials.data()),
                                  .arrivals = static_cast<int32_t*>(o_.decode_arrivals.data())};
      ++calls_.decode_attention;
      throw_if_failed(launch_decode_attention(p, scratch, o_.gpu.multiprocessors, o_.stream));
      return finish(cudaGetLastError(), "attention");
    }
    if (prefill_attention_fits(p, o_.gpu.compute_capability).ok()) {
      ++calls_.prefill_attention;
      throw_if_failed(launch_prefill_attention(p, o_.stream));
      return finish(cudaGetLastError(), "attention");
    }
  }
  ++calls_.simple_attention;
  finish(cuda::simple_attention(rows(args.out),
                                const_rows(args.q),
                                const_rows(args.k_cache),
                                const_rows(args.v_cache),
                                sequences(args.batch),
                                args.scale,
                                o_.stream),
         "attention");
}

bool CudaOps::run_mla_decode(const op::MlaAttention& args,
                             ConstTensorView table,
                             RopeLayout layout) {
  if (!mla_decode_fits(args, o_.gpu.multiprocessors)) {
    return false;
  }
  enter();
  ++calls_.mla_decode;
  finish(mla_decode({.out = args.out.raw(),
                     .q_latent = args.q_latent.raw(),
                     .q_rope = args.q_rope.raw(),
                     .cache = args.cache.raw(),
                     .rope_table = floats(table),
                     .context_before = args.batch.context_before.data<int32_t>(),
                     .block_table = args.batch.block_table.data<int32_t>(),
                     .q_rope_stride = args.q_rope.stride(0),
                     .q_rope_head_stride = args.q_rope.stride(1),
                     .rope_table_stride = table.defined() ? table.stride(0) : 0,
                     .table_stride = static_cast<int>(args.batch.block_table.stride(0)),
                     .sequences = static_cast<int>(args.out.dim(0)),
                     .heads = static_cast<int>(args.out.dim(1)),
                     .block_size = static_cast<int>(args.batch.block_size),
                     // The rotation is only asked for behind the product that makes q_latent.
                     .read_ahead = table.defined(),
                     .interleaved = layout == RopeLayout::kInterleaved,
                     .scale = args.scale},
                    static_cast<float*>(o_.decode_partials.data()),
                    o_.gpu.multiprocessors,
                    o_.stream),
         "mla_attention");
  return true;
}

bool CudaOps::run_mla_prefill(const op::MlaAttention& args) {
  const MlaPrefill p{.out = args.out.raw(),
                     .q_latent = args.q_latent.raw(),
                     .q_rope = args.q_rope.raw(),
                     .query_begin = args.batch.query_begin.data<int32_t>(),
                     .context_before = args.batch.context_before.data<int32_t>(),
                     .block_table = args.batch.block_table.data<int32_t>(),
                     .q_rope_stride = args.q_rope.stride(0),
                     .q_rope_head_stride = args.q_rope.stride(1),
                     .table_stride = static_cast<int>(args.batch.block_table.stride(0)),
                     .tokens = static_cast<int>(args.out.dim(0)),
                     .sequences = static_cast<int>(args.batch.context_before.dim(0)),
                     .heads = static_cast<int>(args.out.dim(1)),
                     .block_size = static_cast<int>(args.batch.block_size),
                     .scale = args.scale};
  if (!is_deepseek(args) || !mla_prefill_fits(p, o_.gpu.compute_capability)) {
    return false;
  }
  const int64_t width = args.cache.dim(2);
  Result<CUtensorMap> map = make_bf16_tensor_map(args.cache.raw(),
                                                 args.cache.dim(0) * args.cache.dim(1),
                                                 width,
                                                 width,
                                                 static_cast<int>(args.batch.block_size));
  throw_if_failed(map.status());
  enter();
  ++calls_.mla_prefill;
  finish(mla_prefill(p, *map, o_.stream), "mla_attention");
  return true;
}

void CudaOps::run(const op::RopeAndMlaAttention& args) {
  const op::MlaAttention attention{
      args.out, args.q_latent, args.q_rope, args.cache, args.batch, args.scale};
  if (!run_mla_decode(attention, args.table, args.layout)) {
    run_in_parts(*this, args);
  }
}

void CudaOps::run(const op::MlaAttention& args) {
  if (run_mla_decode(args, {}, RopeLayout::kInterleaved) || run_mla_prefill(args)) {
    return;
  }
  enter();
  ++calls_.simple_mla_attention;
  finish(cuda::mla_attention(rows(args.out),
                             const_rows(args.q_latent),
                             const_rows(args.q_rope),
                             const_rows(args.cache),
                             sequences(args.batch),
                             args.scale,
                             o_.stream),
         "mla_attention");
}

void CudaOps::run(const op::MlaExpandedAttention& args) {
  enter();
  ++calls_.simple_mla_attention;
  finish(cuda::mla_expanded_attention(rows(args.out),
                                      const_rows(args.q),
                                      const_rows(args.kv),
                                      const_rows(args.k_rope),
                                      sequences(args.batch),
                                      args.key_begin.data<int32_t>(),
                                      args.scale,
                                      o_.stream),
         "mla_expanded_attention");
}

}  // namespace tutti::cuda
