// Routing and sorting with a thread for every expert of every token: for a token or a few.
#pragma once
#include "cuda/ops/moe.h"

namespace tutti::cuda {

/// Of what moe_assign_fits() allows: tokens times experts, rounded up to whole warps, are 1024 at
/// most.
bool moe_assign_wide_fits(const AssignProblem& problem);

cudaError_t moe_assign_wide(const AssignProblem& problem, cudaStream_t s);

}  // namespace tutti::cuda
