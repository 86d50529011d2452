// Logits as a request wants them: masks and penalties id by id, then the few ids with a bias once
// more. A block does both for its share of a row, so no other needs to wait for it. Every operation
// is rounded by itself, as on the host, whose sampler finds the same numbers.
#include <cfloat>

#include "cuda/ops/adjust.h"
#include "cuda/ops/device_math.cuh"
#include "cuda/ops/overlap.cuh"

namespace tutti::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kEach = 16;
constexpr int kShare = kThreads * kEach;  // ids of one block
constexpr int kEditWords = 3;
// AdjustParams::kMasked and so on.
constexpr int kMasked = 1;
constexpr int kEndsForbidden = 2;
constexpr int kPenalised = 4;

struct Row {
  AdjustRow params;
  const float* logits;
  const int32_t* seen;
  const int32_t* allowed;

  __device__ float masked(int id) const {
    const bool may_come = (params.flags & kMasked) == 0 ||
                          (static_cast<uint32_t>(allowed[id / 32]) >> (id % 32) & 1U) != 0;
    return may_come ? logits[id] : -INFINITY;
  }

  __device__ float penalised(int id, float x) const {
    if ((params.flags & kPenalised) == 0) {
      return x;
    }
    const int32_t times = seen[id];
    if (times != 0) {
      x = x > 0.0F ? __fdiv_rn(x, params.repetition) : __fmul_rn(x, params.repetition);
      x = fminf(x, FLT_MAX);
    }
    if (times / 2 > 0) {
      const float usage = __fmul_rn(params.frequency, static_cast<float>(times / 2));
      x = __fsub_rn(x, __fadd_rn(usage, params.presence));
    }
    return x;
  }
};

__global__ void __launch_bounds__(kThreads) adjust_logits_kernel(
    TypedRows<float> y, ConstRows logits, int limit, AdjustMemory tables, const AdjustRow* rows) {
  take_turn();
  const AdjustRow params = rows[blockIdx.y];
  if (params.row < 0) {
    return;
  }
  const Row row{params,
                row_of<float>(logits, params.row),
                tables.seen.data + params.state * tables.seen.stride,
                tables.allowed.data + params.state * tables.allowed.stride};
  float* out = y.data + blockIdx.y * y.stride;
  const int begin = static_cast<int>(blockIdx.x) * kShare;
  const int end = min(begin + kShare, limit);
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    if (const int id = begin + i * kThreads + thread; id < end) {
      out[id] = row.penalised(id, row.masked(id));
    }
  }
  __syncthreads();  // the same ids again, by other threads
  const int32_t* edits = tables.edits.data + params.state * tables.edits.stride;
  for (int e = thread; e < params.edits; e += kThreads) {
    const int32_t* edit = edits + e * kEditWords;
    const int id = edit[0];
    if (begin <= id && id < end) {
      const bool forbidden = edit[2] != 0 && (params.flags & kEndsForbidden) != 0;
      const float x = __fadd_rn(row.masked(id), __int_as_float(edit[1]));
      out[id] = row.penalised(id, forbidden ? -INFINITY : fminf(x, FLT_MAX));
    }
  }
}

__global__ void take_adjusted_kernel(int32_t* chosen,
                                     AdjustMemory tables,
                                     const int32_t* tokens,
                                     AdjustRows rows) {
  take_turn();
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i >= rows.count) {
    return;
  }
  const AdjustRow params = rows.data[i];
  if (params.row < 0 || chosen[params.row] < 0) {
    return;
  }
  const int token = tokens[i];
  chosen[params.row] = token < 0 ? -2 : token;
  if (token >= 0 && (params.flags & kPenalised) != 0) {
    tables.seen.data[params.state * tables.seen.stride + token] += 2;
  }
}

}  // namespace

cudaError_t adjust_logits(const TypedRows<float>& y,
                          const ConstRows& logits,
                          int64_t limit,
                          const AdjustMemory& tables,
                          const AdjustRows& rows,
                          cudaStream_t s) {
  if (rows.count == 0) {
    return cudaSuccess;
  }
  const auto shares = static_cast<unsigned>((limit + kShare - 1) / kShare);
  return launch_overlapped(adjust_logits_kernel,
                           dim3(shares, static_cast<unsigned>(rows.count)),
                           kThreads,
                           s,
                           y,
                           logits,
                           static_cast<int>(limit),
                           tables,
                           rows.data);
}

cudaError_t take_adjusted(int32_t* chosen,
                          const AdjustMemory& tables,
                          const int32_t* tokens,
                          const AdjustRows& rows,
                          cudaStream_t s) {
  if (rows.count == 0) {
    return cudaSuccess;
  }
  return launch_overlapped(take_adjusted_kernel,
                           blocks_for(rows.count, kThreads),
                           kThreads,
                           s,
                           chosen,
                           tables,
                           tokens,
                           rows);
}

}  // namespace tutti::cuda
