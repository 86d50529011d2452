#include "cuda/kernels/paged_attention.h"

#include "cuda/kernels/tensor_map.h"

namespace tutti::cuda {

namespace {

constexpr int kMaxGroup = 16;  // rows of a matrix fragment

bool power_of_two(int value) {
  return value > 0 && (value & (value - 1)) == 0;
}

Status check_common(const PagedAttention& a, int min_block, int max_block) {
  if (a.head_dim != 64 && a.head_dim != 128) {
    return error(StatusCode::kUnsupported, "head_dim is {}, wanted 64 or 128", a.head_dim);
  }
  if (!power_of_two(a.block_size) || a.block_size < min_block || a.block_size > max_block) {
    return error(StatusCode::kUnsupported,
                 "block_size is {}, wanted a power of two from {} to {}",
                 a.block_size,
                 min_block,
                 max_block);
  }
  if (a.q_stride % 8 != 0 || reinterpret_cast<uintptr_t>(a.q) % 16 != 0 || a.out_stride % 4 != 0 ||
      reinterpret_cast<uintptr_t>(a.out) % 8 != 0) {
    return error(StatusCode::kUnsupported, "query rows are not 16-byte aligned");
  }
  return ok_status();
}

Status launched(const char* what, cudaError_t code) {
  return code == cudaSuccess ? ok_status()
                             : error(StatusCode::kDevice, "{}: {}", what, cudaGetErrorString(code));
}

}  // namespace

Status prefill_attention_fits(const PagedAttention& a, int compute_capability) {
  if (compute_capability != 90) {
    return error(StatusCode::kUnsupported, "the prompt kernel is for compute capability 9.0");
  }
  return check_common(a, 8, 128);
}

Status launch_prefill_attention(const PagedAttention& a, cudaStream_t stream) {
  if (a.tokens == 0) {
    return ok_status();
  }
  const int64_t rows = a.blocks * a.block_size;
  const int64_t width = int64_t{a.kv_heads} * a.head_dim;
  TUTTI_TRY(const CUtensorMap k_map,
            make_bf16_tensor_map(a.k_cache, rows, width, width, a.block_size));
  TUTTI_TRY(const CUtensorMap v_map,
            make_bf16_tensor_map(a.v_cache, rows, width, width, a.block_size));
  return launched("prefill attention", prefill_attention(a, k_map, v_map, stream));
}

Status decode_attention_fits(const PagedAttention& a, int compute_capability) {
  if (compute_capability < 80) {
    return error(StatusCode::kUnsupported,
                 "the decode kernel needs compute capability 8.0, this device has {}.{}",
                 compute_capability / 10,
                 compute_capability % 10);
  }
  if (a.heads % a.kv_heads != 0 || a.heads / a.kv_heads > kMaxGroup) {
    return error(StatusCode::kUnsupported,
                 "{} query heads on {} KV heads, wanted at most {} for each",
                 a.heads,
                 a.kv_heads,
                 kMaxGroup);
  }
  return check_common(a, 16, 1 << 20);
}

Status launch_decode_attention(const PagedAttention& a,
                               const DecodeScratch& scratch,
                               int sms,
                               cudaStream_t stream) {
  if (a.sequences == 0) {
    return ok_status();
  }
  return launched("decode attention", decode_attention(a, scratch, sms, stream));
}

}  // namespace tutti::cuda
