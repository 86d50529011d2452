// The CPU's ops with every activation rounded to bf16 where a backend that computes in bf16 stores
// it: shows without a GPU what bf16 costs a model, and what its criterion notices.
#pragma once
#include <memory>

#include "backend/backend.h"

namespace tutti::testing {

/// Activations stay f32 in memory. Products with f32 weights are left alone, as those of routers
/// are; logits are rounded, which a GPU does not do. `e4m3`: what meets weights in FP8 blocks is
/// first rounded to e4m3 with a factor per row and 128 columns, as by products of FP8 with FP8
/// (DeepSeek-V3, arXiv:2412.19437, section 3.3).
std::unique_ptr<Backend> make_rounding_cpu_backend(bool e4m3 = false);

}  // namespace tutti::testing
