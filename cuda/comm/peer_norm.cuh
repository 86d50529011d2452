// The sum over ranks, the residual and the norm that follows it in one kernel: what arrives is
// added while it is still in registers. One block per row; numerics like add_rms_norm of
// ops/rows.cu, but that the sum is not rounded in between.
#pragma once
#include "cuda/comm/peer_reduce.cuh"

namespace tutti::cuda {

/// kCount f32 neighbours; `aligned`: to their own size.
template <int kCount>
__device__ __forceinline__ void read_floats(const float* from, bool aligned, float (&to)[kCount]) {
  static_assert(kCount == 2 || kCount == 4);
  if (!aligned) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      to[i] = from[i];
    }
  } else if constexpr (kCount == 2) {
    const float2 bits = *reinterpret_cast<const float2*>(from);
    to[0] = bits.x, to[1] = bits.y;
  } else {
    const float4 bits = *reinterpret_cast<const float4*>(from);
    to[0] = bits.x, to[1] = bits.y, to[2] = bits.z, to[3] = bits.w;
  }
}

template <int kCount>
__device__ __forceinline__ void write_floats(float* to, bool aligned, const float (&from)[kCount]) {
  if (!aligned) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      to[i] = from[i];
    }
  } else if constexpr (kCount == 2) {
    *reinterpret_cast<float2*>(to) = make_float2(from[0], from[1]);
  } else {
    *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
  }
}

/// The rows' widths are whole lines.
template <class T, int kMost>
struct FlaggedReduceNorm {
  using Arguments = PeerReduceNorm;
  static constexpr int kCount = FlaggedLines<T, kMost>::kCount;
  static constexpr int kHeld = 4;  ///< lines of a row that a thread keeps in registers

  __device__ static void run(const PeerReduceNorm& a) {
    const int64_t per_row = a.width / kCount;
    const bool weight_aligned = aligned_to(a.weight, kCount * 4);
    float weights[kHeld][kCount];
#pragma unroll
    for (int g = 0; g < kHeld; ++g) {  // never change: fetched while the kernel ahead still runs
      if (line(g) < per_row) {
        read_floats(a.weight + line(g) * kCount, weight_aligned, weights[g]);
      }
    }
    PeerTurn turn(a.x.peer, a.x.op, a.x.bytes());
    FlaggedLines<T, kMost> lines(a.x, turn);
    // Under way before the first look at the turn, which comes from as far.
    Words<2> held[kHeld];
#pragma unroll
    for (int g = 0; g < kHeld; ++g) {
      if (line(g) < per_row) {
        held[g] = lines.own(blockIdx.x * per_row + line(g));
      }
    }
    if (!turn.gave_up()) {
#pragma unroll
      for (int g = 0; g < kHeld; ++g) {
        if (line(g) < per_row) {
          lines.send(blockIdx.x * per_row + line(g), held[g]);
        }
      }
      for (int64_t i = line(kHeld); i < per_row; i += blockDim.x) {
        lines.send(blockIdx.x * per_row + i, lines.own(blockIdx.x * per_row + i));
      }
      for (int64_t row = blockIdx.x + gridDim.x; row < a.rows; row += gridDim.x) {
        for (int64_t i = threadIdx.x; i < per_row; i += blockDim.x) {
          lines.send(row * per_row + i, lines.own(row * per_row + i));
        }
      }
      turn.sent();
      for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
        if (row > blockIdx.x) {
#pragma unroll
          for (int g = 0; g < kHeld; ++g) {
            if (line(g) < per_row) {
              held[g] = lines.own(row * per_row + line(g));
            }
          }
        }
        normalise(a, lines, row, per_row, held, weights);
      }
    }
    turn.finish(1);
  }

 private:
  // The g-th line of a row that this thread holds.
  __device__ static int64_t line(int g) {
    return static_cast<int64_t>(g) * blockDim.x + threadIdx.x;
  }

  // `values`, which hold the residual, += sum; the sum of their squares.
  __device__ __forceinline__ static float add_sum(const SumOf<T, 2>& sum,
                                                  float* residual,
                                                  bool aligned,
                                                  float (&values)[kCount]) {
    float squares = 0;
#pragma unroll
    for (int u = 0; u < kCount; ++u) {
      values[u] += sum.value[u];
      squares += values[u] * values[u];
    }
    write_floats(residual, aligned, values);
    return squares;
  }

  __device__ __forceinline__ static void write_scaled(
      T* y, bool aligned, const float (&values)[kCount], const float (&weights)[kCount], float by) {
    SumOf<T, 2> scaled;
#pragma unroll
    for (int u = 0; u < kCount; ++u) {
      scaled.value[u] = values[u] * by * weights[u];
    }
    write_elements<T, 2>(y, scaled.words(), kCount, aligned);
  }

  __device__ static void normalise(const PeerReduceNorm& a,
                                   FlaggedLines<T, kMost>& lines,
                                   int64_t row,
                                   int64_t per_row,
                                   const Words<2> (&held)[kHeld],
                                   const float (&weights)[kHeld][kCount]) {
    float* residual = a.residual.data + row * a.residual.stride;
    T* y = static_cast<T*>(a.y.data) + row * a.y.stride;
    const bool residual_aligned = aligned_to(residual, kCount * 4);
    const bool y_aligned = aligned_to(y, 8);
    float values[kHeld][kCount];
    float squares = 0;
#pragma unroll
    for (int g = 0; g < kHeld; ++g) {  // on its way while the peers' parts are
      if (line(g) < per_row) {
        read_floats(residual + line(g) * kCount, residual_aligned, values[g]);
      }
    }
#pragma unroll
    for (int g = 0; g < kHeld; ++g) {
      if (line(g) < per_row) {
        squares += add_sum(lines.receive(row * per_row + line(g), held[g]),
                           residual + line(g) * kCount,
                           residual_aligned,
                           values[g]);
      }
    }
    for (int64_t i = line(kHeld); i < per_row; i += blockDim.x) {
      float further[kCount];
      read_floats(residual + i * kCount, residual_aligned, further);
      squares += add_sum(lines.receive(row * per_row + i, lines.own(row * per_row + i)),
                         residual + i * kCount,
                         residual_aligned,
                         further);
    }
    squares = block_reduce<Sum>(squares);
    const float by = 1.0F / sqrtf(squares / static_cast<float>(a.width) + a.eps);
#pragma unroll
    for (int g = 0; g < kHeld; ++g) {
      if (line(g) < per_row) {
        write_scaled(y + line(g) * kCount, y_aligned, values[g], weights[g], by);
      }
    }
    for (int64_t i = line(kHeld); i < per_row; i += blockDim.x) {
      float further[kCount];
      float factors[kCount];
      read_floats(residual + i * kCount, residual_aligned, further);
      read_floats(a.weight + i * kCount, aligned_to(a.weight, kCount * 4), factors);
      write_scaled(y + i * kCount, y_aligned, further, factors, by);
    }
  }
};

}  // namespace tutti::cuda
