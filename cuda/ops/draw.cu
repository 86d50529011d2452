// Drawing tokens from logits: temperature, top-k, top-p, min-p, all exact, one thread block a row.
// Sets are found by radix selection over the bits of the logits, eleven at a time, with counts or
// with probability mass in the bins (no sort: a row is read about ten times from the second-level
// cache, and only the first pass of a selection touches every bin). Mass is summed in integers, in
// units of 2^-44 of the best token's, so that the order of additions does not matter.
#include <climits>

#include "cuda/ops/device_math.cuh"
#include "cuda/ops/draw.h"
#include "cuda/ops/overlap.cuh"

namespace tutti::cuda {

namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;
constexpr int kUnroll = 8;  // independent loads in flight per thread
constexpr int kBins = 2048;
constexpr int kBinsEach = kBins / kThreads;
constexpr unsigned kAll = 0xFFFFFFFFU;
constexpr double kUnit = 17592186044416.0;  // 2^44
// As the host's sampler: lighter tokens cannot be drawn, lower temperatures act like this one.
constexpr float kNegligible = -60.0F;
constexpr float kMinTemperature = 1e-6F;

using Mass = unsigned long long;

struct Shared {
  Mass bins[kBins];
  Mass warps[kWarps];
  float best[kWarps];
  int index[kWarps];
  int bad[kWarps];
  uint32_t digit;
  Mass above;
  Mass inside;
  int found;
};

// Keeps what comes before it in the order (logit descending, id ascending), itself included.
struct Cut {
  uint32_t key = 0;
  int last = INT_MAX;  // of the tokens with that key, those with ids up to this one
};

__device__ __forceinline__ uint32_t key_of(float x) {
  const uint32_t bits = __float_as_uint(x + 0.0F);  // -0 equals 0
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

__device__ __forceinline__ bool keeps(const Cut& cut, uint32_t key, int id) {
  return key > cut.key || (key == cut.key && id <= cut.last);
}

struct Row {
  const float* logits;
  int count;
  float best;
  float scale;

  __device__ float weight(float x) const {
    const float exponent = (x - best) * scale;
    return exponent >= kNegligible ? expf(exponent) : 0.0F;
  }

  __device__ Mass mass(float x) const {
    return static_cast<Mass>(static_cast<double>(weight(x)) * kUnit);
  }

  // f(id, logit) for this thread's ids.
  template <class F>
  __device__ void for_each(const F& f) const {
    int i = static_cast<int>(threadIdx.x);
    for (; i + (kUnroll - 1) * kThreads < count; i += kUnroll * kThreads) {
      float values[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        values[u] = logits[i + u * kThreads];
      }
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        f(i + u * kThreads, values[u]);
      }
    }
    for (; i < count; i += kThreads) {
      f(i, logits[i]);
    }
  }
};

__device__ __forceinline__ Mass warp_inclusive(Mass x) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const Mass other = __shfl_up_sync(kAll, x, step);
    x += lane >= step ? other : 0;
  }
  return x;
}

// Sum over the threads before this one; `total` over all.
__device__ Mass block_exclusive(Mass x, Shared& s, Mass* total) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const Mass through = warp_inclusive(x);
  __syncthreads();
  if (threadIdx.x % 32 == 31) {
    s.warps[warp] = through;
  }
  __syncthreads();
  Mass before = through - x;
  Mass sum = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    before += w < warp ? s.warps[w] : 0;
    sum += s.warps[w];
  }
  *total = sum;
  return before;
}

// The smallest id such that f, summed over the ids up to it, exceeds a target that may depend on
// the whole sum; -1 if there is none. A warp sums a stretch of the row.
template <class F, class Target>
__device__ int first_beyond(const Row& row, Shared& s, const F& f, const Target& target_of) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int each = ((row.count + kWarps - 1) / kWarps + 31) / 32 * 32;
  const int begin = min(warp * each, row.count);
  const int end = min(begin + each, row.count);
  Mass mine = 0;
#pragma unroll 8
  for (int i = begin + lane; i < end; i += 32) {
    mine += f(i, row.logits[i]);
  }
  const Mass through = warp_inclusive(mine);
  __syncthreads();
  if (lane == 31) {
    s.warps[warp] = through;
  }
  if (threadIdx.x == 0) {
    s.found = -1;
  }
  __syncthreads();
  Mass before = 0;
  Mass total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    before += w < warp ? s.warps[w] : 0;
    total += s.warps[w];
  }
  const Mass target = target_of(total);
  if (before <= target && target < before + s.warps[warp]) {  // one warp at most
    for (int i = begin + lane; i - lane < end; i += 32) {
      const Mass x = i < end ? f(i, row.logits[i]) : 0;
      const Mass sum = before + warp_inclusive(x);
      const unsigned beyond = __ballot_sync(kAll, sum > target);
      if (beyond != 0) {
        if (lane == __ffs(static_cast<int>(beyond)) - 1) {
          s.found = i;
        }
        break;
      }
      before = __shfl_sync(kAll, sum, 31);
    }
  }
  __syncthreads();
  return s.found;
}

// The tightest cut within `cut` whose tokens measure at least `target`: their number, or their
// mass.
template <bool kByMass>
__device__ Cut select(const Row& row, const Cut& cut, Mass target, Shared& s) {
  const auto measure = [&](float x) { return kByMass ? row.mass(x) : Mass{1}; };
  uint32_t prefix = 0;
  uint32_t known = 0;  // bits of the prefix that are decided
  Mass above = 0;
  const int shifts[3] = {21, 10, 0};
  for (int pass = 0; pass < 3; ++pass) {
    const int shift = shifts[pass];
    const uint32_t digits = pass == 2 ? 1024 : kBins;
    __syncthreads();
#pragma unroll
    for (int b = 0; b < kBinsEach; ++b) {
      s.bins[b * kThreads + threadIdx.x] = 0;
    }
    __syncthreads();
    row.for_each([&](int id, float x) {
      const uint32_t key = key_of(x);
      if ((key & known) == prefix && keeps(cut, key, id)) {
        const Mass amount = measure(x);
        if (amount != 0) {
          atomicAdd(&s.bins[(key >> shift) & (digits - 1)], amount);
        }
      }
    });
    __syncthreads();
    Mass mine = 0;
#pragma unroll
    for (int b = 0; b < kBinsEach; ++b) {  // from the top down
      const int bin = static_cast<int>(digits) - 1 - static_cast<int>(threadIdx.x) * kBinsEach - b;
      mine += bin >= 0 ? s.bins[bin] : 0;
    }
    Mass total = 0;
    Mass before = above + block_exclusive(mine, s, &total);
#pragma unroll
    for (int b = 0; b < kBinsEach; ++b) {
      const int bin = static_cast<int>(digits) - 1 - static_cast<int>(threadIdx.x) * kBinsEach - b;
      const Mass amount = bin >= 0 ? s.bins[bin] : 0;
      if (before < target && target <= before + amount) {
        s.digit = static_cast<uint32_t>(bin);
        s.above = before;
        s.inside = amount;
      }
      before += amount;
    }
    __syncthreads();
    prefix |= s.digit << shift;
    known |= (digits - 1) << shift;
    above = s.above;
  }
  // Tokens with one logit measure alike: of those, the first ids that still are needed.
  const Mass inside = s.inside;
  const Mass wanted = target - above;
  Cut out{prefix, prefix == cut.key ? cut.last : INT_MAX};
  const auto tied = [&](int id, float x) -> Mass {
    const uint32_t key = key_of(x);
    return key == prefix && keeps(cut, key, id) ? measure(x) : 0;
  };
  if (wanted < inside) {
    out.last = first_beyond(row, s, tied, [&](Mass) { return wanted - 1; });
  }
  return out;
}

__device__ void find_best(const Row& row, Shared& s, float* best, int* index, bool* bad) {
  float value = -INFINITY;
  int at = INT_MAX;
  int broken = 0;
  row.for_each([&](int id, float x) {
    broken |= x < INFINITY ? 0 : 1;
    if (x > value) {
      value = x;
      at = id;
    }
  });
  const auto join = [&](float x, int id, int other) {
    broken |= other;
    if (x > value || (x == value && id < at)) {
      value = x;
      at = id;
    }
  };
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const float x = __shfl_xor_sync(kAll, value, step);
    const int id = __shfl_xor_sync(kAll, at, step);
    join(x, id, __shfl_xor_sync(kAll, broken, step));
  }
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (threadIdx.x % 32 == 0) {
    s.best[warp] = value;
    s.index[warp] = at;
    s.bad[warp] = broken;
  }
  __syncthreads();
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    join(s.best[w], s.index[w], s.bad[w]);
  }
  *best = value;
  *index = at;
  *bad = broken != 0 || at == INT_MAX;
}

__global__ void __launch_bounds__(kThreads, 2)
    draw_kernel(int32_t* tokens, ConstRows logits, int limit, const DrawRow* rows) {
  take_turn();
  __shared__ Shared s;
  const DrawRow draw = rows[blockIdx.x];
  Row row{row_of<float>(logits, blockIdx.x), limit, 0.0F, 0.0F};
  int token = -1;
  bool bad = false;
  find_best(row, s, &row.best, &token, &bad);
  if (bad || draw.temperature <= 0.0F) {
    if (threadIdx.x == 0) {
      tokens[blockIdx.x] = bad ? -1 : token;
    }
    return;
  }
  row.scale = 1.0F / fmaxf(draw.temperature, kMinTemperature);
  Cut cut;
  if (draw.top_k > 0 && draw.top_k < limit) {
    cut = select<false>(row, cut, static_cast<Mass>(draw.top_k), s);
  }
  if (draw.top_p < 1.0F) {
    Mass mine = 0;
    row.for_each([&](int id, float x) { mine += keeps(cut, key_of(x), id) ? row.mass(x) : 0; });
    Mass total = 0;
    block_exclusive(mine, s, &total);
    const double target = ceil(static_cast<double>(total) * static_cast<double>(draw.top_p));
    cut = select<true>(row, cut, max(static_cast<Mass>(target), Mass{1}), s);
  }
  const auto mass = [&](int id, float x) -> Mass {
    const bool kept = keeps(cut, key_of(x), id) && row.weight(x) >= draw.min_p;
    return kept ? row.mass(x) : 0;
  };
  // floor(total * uniform), the uniform number being `draw.high:low` units of 2^-53.
  const auto target = [&](Mass total) {
    const Mass uniform = static_cast<Mass>(draw.high) << 32U | draw.low;
    return __umul64hi(total, uniform) << 11U | (total * uniform) >> 53U;
  };
  token = first_beyond(row, s, mass, target);
  if (threadIdx.x == 0) {
    tokens[blockIdx.x] = token;
  }
}

}  // namespace

cudaError_t draw(
    int32_t* tokens, const ConstRows& logits, int64_t limit, const DrawRow* rows, cudaStream_t s) {
  if (logits.n0 == 0) {
    return cudaSuccess;
  }
  return launch_overlapped(draw_kernel,
                           static_cast<unsigned>(logits.n0),
                           kThreads,
                           s,
                           tokens,
                           logits,
                           static_cast<int>(limit),
                           rows);
}

}  // namespace tutti::cuda
