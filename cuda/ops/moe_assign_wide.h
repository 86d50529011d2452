// Routing and sorting with a thread for every expert of every token: for a token or a few.
#pragma once
#include "cuda/ops/moe.h"

namespace tutti::cuda {

/// Up to 1,024 experts, 32 choices; groups of 32 experts.
bool route_wide_fits(const AssignProblem& problem);

/// That, and tokens times experts, rounded up to whole warps, are 1024 at most.
bool assign_wide_fits(const AssignProblem& problem);

/// Experts and weights only.
cudaError_t route_wide(const AssignProblem& problem, cudaStream_t s);

cudaError_t assign_wide(const AssignProblem& problem, cudaStream_t s);

}  // namespace tutti::cuda
