// Routing, sorting by expert and combining; contracts in ops/ops.h.
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

struct Router {
  bool sigmoid = true;  ///< else softmax
  int top_k = 1;
  int num_groups = 1;
  int top_groups = 1;
  bool normalize = true;
  float scale = 1.0F;
};

/// `experts` [t, top_k] with `expert_stride` elements between rows; `bias` may be null.
cudaError_t moe_route(int32_t* experts,
                      int64_t expert_stride,
                      const Rows& weights,
                      const ConstRows& logits,
                      const float* bias,
                      const Router& router,
                      cudaStream_t s);

struct PermuteProblem {
  int32_t* row_token = nullptr;  ///< [tokens * top_k]
  int32_t* pair_row = nullptr;   ///< [tokens, top_k]
  int32_t* offsets = nullptr;    ///< [experts + 1]
  const int32_t* chosen = nullptr;
  int64_t pair_stride = 0;
  int64_t chosen_stride = 0;
  int tokens = 0;
  int top_k = 0;
  int experts = 0;
};

cudaError_t moe_permute(const PermuteProblem& problem, cudaStream_t s);

/// Routing and sorting; of up to 32 tokens in one kernel.
struct AssignProblem {
  PermuteProblem pairs;           ///< `chosen` is written
  int32_t* chosen = nullptr;      ///< the same memory
  TypedRows<float> weights;       ///< [tokens, top_k]
  TypedRows<const float> logits;  ///< [tokens, experts]
  const float* bias = nullptr;    ///< [experts] or null
  Router router;
};

/// Whether moe_assign() takes it: up to 1,024 experts, 32 choices; groups of 32 experts.
bool moe_assign_fits(const AssignProblem& problem);

cudaError_t moe_assign(const AssignProblem& problem, cudaStream_t s);

/// `added`: rows of x's type that are added to the sums, or data nullptr.
cudaError_t moe_combine(const Rows& y,
                        const ConstRows& x,
                        const int32_t* pair_row,
                        int64_t pair_stride,
                        const ConstRows& weights,
                        const ConstRows& added,
                        cudaStream_t s);

}  // namespace tutti::cuda
