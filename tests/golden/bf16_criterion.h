// How close a run in bf16 must come to the golden f32 values, measured by what transformers' own
// bf16 run of the same fixture reaches. README.md has the numbers.
#pragma once
#include <string>
#include <vector>

#include "golden/golden.h"
#include "golden/mutated_ops.h"

namespace tutti::testing {

/// Sum of squared differences over sum of squares; infinite if a logit is not finite.
double nmse(const std::vector<float>& got, const std::vector<float>& want);

/// The error of `got` over what the criterion allows: passed if at most 1. Dense models: the NMSE
/// of all logits, at most kBf16Factor times transformers'. In a mixture whose experts bf16 can
/// change (Golden::steady_experts), whole rows fall one way or the other: there the median of the
/// rows' NMSE is held to that, and the NMSE of all to kBf16Flips.
double bf16_error_over_tolerance(const Golden& golden, const std::vector<float>& got);

inline constexpr double kBf16Factor = 4.0;
inline constexpr double kBf16Flips = 5e-2;

/// How far beyond the criterion products of FP8 with FP8 may be, over what the same rounding costs
/// on the CPU (make_rounding_cpu_backend).
inline constexpr double kE4M3Factor = 1.5;

/// The least gap between best and second id at which no run in bf16 may choose another id.
double bf16_clear_gap(const Golden& golden);

/// The fixtures whose shapes the fast attention kernels take: head_dim 64 or 128, bf16.
std::vector<std::string> fast_attention_fixtures();

/// By how much the criterion must be missed, so that it is no accident.
inline constexpr double kBf16Clearly = 4.0;

/// What the criterion must notice in a fixture of fast_attention_fixtures().
std::vector<Mistake> bf16_mistakes(const std::string& fixture);

}  // namespace tutti::testing
