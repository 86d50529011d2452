// Decides how a model is spread over the GPUs of a machine, and says why. The rule: a GPU helps if
// the goal's figure grows by at least 5 %, or if without it the model or what was asked for does
// not fit (ADR 27).
#pragma once
#include "plan/layout.h"

namespace tutti {

/// A GPU must add so much to be used where it is not needed for room.
inline constexpr double kHelps = 1.05;

/// Never fails for want of room: that is a plan that refuses. Errors: kInvalidArgument for a
/// request that contradicts the model (a context beyond its own, an illegal --tp), or what loading
/// would say of the checkpoint.
Result<Plan> make_plan(const ModelFacts& model, const Machine& machine, const PlanRequest& request);

}  // namespace tutti
