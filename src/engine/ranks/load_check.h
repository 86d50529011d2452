// Looks, once a model is loaded, whether what was planned is what happened: every device holds its
// share, and all of them add up. A model on fewer devices than the plan says must not start.
#pragma once
#include <vector>

#include "backend/rank_group.h"
#include "engine/ranks/memory_rules.h"

namespace tutti {

/// kDevice names the first pool in which the ranks hold less or more than planned, by more than 3 %
/// or 400 MB a rank, whichever is more. Where only what is free has changed by so much, other
/// programs use the pool too, and the log says so. `plans` have been measured.
Status check_shares(const std::vector<MemoryPlan>& plans);

/// Every rank adds numbers that name it, by all ways that collectives have; kDevice says which rank
/// got what instead of the sum. A group of one has nothing to add.
Status check_sums(RankGroup& group);

}  // namespace tutti
