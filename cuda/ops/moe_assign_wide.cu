// A thread has one expert of one token. Each warp finds the best choices among its own; those of
// all warps of a token are then ranked by counting which are better. Choices and rows are few
// enough to be numbered by counting too. The same experts as the reference picks.
#include "cuda/ops/moe_assign_wide.h"
#include "cuda/ops/moe_scores.cuh"
#include "cuda/ops/overlap.cuh"

namespace tutti::cuda {

namespace {

constexpr int kMostThreads = 1024;
constexpr int kMostWarps = kMostThreads / 32;
constexpr int kMostChoices = 32;

struct Candidate {
  uint32_t choice;  // ordered; 0: none
  int expert;
  float score;
};

struct Shared {
  Candidate candidates[kMostWarps][kMostChoices];
  Candidate chosen[kMostWarps * kMostChoices];  // [tokens][top_k], best first
  uint32_t groups[kMostWarps];
  float largest[kMostWarps];
  double sums[kMostWarps];
};

// Where a thread stands.
struct Place {
  int warp;        // of the block
  int first_warp;  // of the token
  int warps;       // of a token
  int token;
  int expert;
  bool inside;
};

// The score of this thread's expert.
__device__ float score_expert(const AssignProblem& p, const Place& at, float x, Shared& s) {
  if (p.router.sigmoid) {
    return static_cast<float>(1.0 / (1.0 + exp(-static_cast<double>(x))));
  }
  s.largest[at.warp] = from_ordered(__reduce_max_sync(kAll, ordered(x)));
  __syncthreads();
  float largest = -INFINITY;
  for (int w = 0; w < at.warps; ++w) {
    largest = fmaxf(largest, s.largest[at.first_warp + w]);
  }
  // The equality keeps infinities from turning into NaN.
  const double exponential = !at.inside     ? 0.0
                             : x == largest ? 1.0
                                            : exp(static_cast<double>(x) - largest);
  s.sums[at.warp] = warp_sum(exponential);
  __syncthreads();
  double sum = 0;
  for (int w = 0; w < at.warps; ++w) {
    sum += s.sums[at.first_warp + w];
  }
  return static_cast<float>(exponential / sum);
}

// A warp is a group: its score is the sum of its two largest choices. True if it stays.
__device__ bool group_stays(const Router& r, const Place& at, uint32_t choice, Shared& s) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const uint32_t first = __reduce_max_sync(kAll, choice);
  const int owner = __ffs(static_cast<int>(__ballot_sync(kAll, choice == first))) - 1;
  const uint32_t second = __reduce_max_sync(kAll, lane == owner ? 0U : choice);
  const uint32_t mine = ordered(from_ordered(first) + from_ordered(second));
  s.groups[at.warp] = mine;
  __syncthreads();
  int better = 0;
  for (int w = 0; w < at.warps; ++w) {
    const uint32_t other = s.groups[at.first_warp + w];
    better += other > mine || (other == mine && at.first_warp + w < at.warp) ? 1 : 0;
  }
  return better < r.top_groups;
}

// Puts the best of all warps' candidates into s.chosen.
__device__ void rank_candidates(const Router& r, const Place& at, Shared& s) {
  const int thread_of_token = at.expert;
  for (int i = thread_of_token; i < at.warps * r.top_k; i += at.warps * 32) {
    const int warp = i / r.top_k;
    const int nth = i % r.top_k;
    const Candidate mine = s.candidates[at.first_warp + warp][nth];
    // Those of a warp come best first, ties in the order of experts.
    int better = nth;
    for (int w = 0; w < at.warps; ++w) {
      for (int n = 0; w != warp && n < r.top_k; ++n) {
        const uint32_t other = s.candidates[at.first_warp + w][n].choice;
        better += other > mine.choice || (other == mine.choice && w < warp) ? 1 : 0;
      }
    }
    if (better < r.top_k) {
      s.chosen[at.token * r.top_k + better] = mine;
    }
  }
}

// A block routes its tokens and leaves their choices in s.chosen; returns how many tokens they are.
// All threads come along; those of tokens that do not exist route the last one again.
__device__ int route_tokens(const AssignProblem& p, Shared& s) {
  const Router& r = p.router;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int threads = (p.pairs.experts + 31) / 32 * 32;  // of a token
  const int tokens = static_cast<int>(blockDim.x) / threads;
  const int first_token = static_cast<int>(blockIdx.x) * tokens;
  Place at;
  at.warp = static_cast<int>(threadIdx.x) / 32;
  at.warps = threads / 32;
  at.token = static_cast<int>(threadIdx.x) / threads;
  at.first_warp = at.token * at.warps;
  at.expert = static_cast<int>(threadIdx.x) % threads;
  at.inside = at.expert < p.pairs.experts;
  const int token = min(first_token + at.token, p.pairs.tokens - 1);
  const float bias = p.bias != nullptr && at.inside ? p.bias[at.expert] : 0.0F;
  take_turn();
  const float x =
      at.inside ? nan_to_worst(p.logits.data[token * p.logits.stride + at.expert]) : -INFINITY;
  const float score = score_expert(p, at, x, s);
  uint32_t choice = at.inside ? ordered(nan_to_worst(score + bias)) : 0;
  if (r.num_groups > 1 && !group_stays(r, at, choice, s)) {
    choice = 0;
  }
  for (int n = 0; n < r.top_k; ++n) {
    const uint32_t best = __reduce_max_sync(kAll, choice);
    const int owner = __ffs(static_cast<int>(__ballot_sync(kAll, choice == best))) - 1;
    if (lane == owner) {
      s.candidates[at.warp][n] = {choice, at.expert, score};
      choice = 0;
    }
  }
  __syncthreads();
  rank_candidates(r, at, s);
  __syncthreads();
  const int mine = min(tokens, p.pairs.tokens - first_token);
  for (int i = static_cast<int>(threadIdx.x); i < mine * r.top_k;
       i += static_cast<int>(blockDim.x)) {
    const int local = i / r.top_k;
    const int nth = i % r.top_k;
    double sum = 0;
    for (int n = 0; n < r.top_k; ++n) {
      sum += s.chosen[local * r.top_k + n].score;
    }
    const double divisor = r.normalize ? sum + 1e-20 : 1.0;
    p.weights.data[(first_token + local) * p.weights.stride + nth] =
        static_cast<float>(s.chosen[i].score / divisor * r.scale);
    p.chosen[(first_token + local) * p.pairs.chosen_stride + nth] = s.chosen[i].expert;
  }
  return mine;
}

__global__ void __launch_bounds__(kMostThreads)
    route_wide_kernel(const __grid_constant__ AssignProblem p) {
  __shared__ Shared s;
  route_tokens(p, s);
}

// One block: numbers the pairs too.
__global__ void __launch_bounds__(kMostThreads)
    assign_wide_kernel(const __grid_constant__ AssignProblem p) {
  __shared__ Shared s;
  const int top_k = p.router.top_k;
  const int pairs = route_tokens(p, s) * top_k;
  for (int i = static_cast<int>(threadIdx.x); i < pairs; i += static_cast<int>(blockDim.x)) {
    const int token = i / top_k;
    const int nth = i % top_k;
    const Candidate mine = s.chosen[i];
    int row = 0;
    for (int j = 0; j < pairs; ++j) {
      const int other = s.chosen[j].expert;
      row += other < mine.expert || (other == mine.expert && j < i) ? 1 : 0;
    }
    p.pairs.row_token[row] = token;
    p.pairs.pair_row[token * p.pairs.pair_stride + nth] = row;
  }
  for (int e = static_cast<int>(threadIdx.x); e <= p.pairs.experts;
       e += static_cast<int>(blockDim.x)) {
    int before = 0;
    for (int j = 0; j < pairs; ++j) {
      before += s.chosen[j].expert < e ? 1 : 0;
    }
    p.pairs.offsets[e] = before;
  }
}

int threads_of_token(const AssignProblem& p) {
  return (p.pairs.experts + 31) / 32 * 32;
}

}  // namespace

bool route_wide_fits(const AssignProblem& p) {
  return threads_of_token(p) <= kMostThreads && p.router.top_k <= kMostChoices &&
         (p.router.num_groups == 1 || p.pairs.experts == 32 * p.router.num_groups);
}

bool assign_wide_fits(const AssignProblem& p) {
  return route_wide_fits(p) && p.pairs.tokens * threads_of_token(p) <= kMostThreads;
}

cudaError_t route_wide(const AssignProblem& p, cudaStream_t s) {
  const int of_token = threads_of_token(p);
  const int tokens = max(1, min(kMostThreads / 2 / of_token, p.pairs.tokens));
  return launch_overlapped(route_wide_kernel,
                           dim3(static_cast<unsigned>((p.pairs.tokens + tokens - 1) / tokens)),
                           static_cast<unsigned>(tokens * of_token),
                           s,
                           p);
}

cudaError_t assign_wide(const AssignProblem& p, cudaStream_t s) {
  return launch_overlapped(assign_wide_kernel,
                           dim3(1),
                           static_cast<unsigned>(p.pairs.tokens * threads_of_token(p)),
                           s,
                           p);
}

}  // namespace tutti::cuda
