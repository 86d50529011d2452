// The search behind make_plan(): which layouts there are, and which one is best.
#pragma once
#include <optional>
#include <vector>

#include "plan/layout.h"

namespace tutti {

/// Of this build's collectives on GPUs (cuda/comm/peer_types.h).
inline constexpr int kMostRanksOfHost = 8;

struct Choice {
  std::optional<Layout> best;      ///< that loads; empty: none does
  std::optional<Layout> runnable;  ///< the best that this build can start, if that is another
  std::optional<Layout> closest;   ///< where none loads: the one over most GPUs
  std::vector<Layout> tried;       ///< splits by tensors that load, by number of GPUs
};

/// `usable`: positions in machine.gpus.
Result<Choice> choose_layout(ModelNeeds& needs,
                             const Machine& machine,
                             const PlanRequest& request,
                             const std::vector<size_t>& usable);

/// Only tensors split, on one host.
bool form_runs(const Parallel& form, int nodes_used);

/// How many hosts a form takes.
int nodes_of(const Parallel& form, const Machine& machine);

}  // namespace tutti
