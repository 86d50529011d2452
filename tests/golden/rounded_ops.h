// The CPU's ops with every activation rounded to bf16 where a backend that computes in bf16 stores
// it: shows without a GPU what bf16 costs a model, and what its criterion notices.
#pragma once
#include <memory>

#include "backend/backend.h"

namespace tutti::testing {

/// Activations stay f32 in memory. Products with f32 weights are left alone, as those of routers
/// are; logits are rounded, which a GPU does not do.
std::unique_ptr<Backend> make_rounding_cpu_backend();

}  // namespace tutti::testing
