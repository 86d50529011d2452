// How many ranks a model gets on how many GPUs: ranks = GPUs x ranks per GPU, or a refusal that
// says what to type. Knows nothing of CUDA.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace tutti {

/// The rank counts that a model can be split over, rising; called where they matter, for declaring
/// a large model at every count takes a moment. Empty: the model is broken, which others say.
using LegalRanks = std::function<std::vector<int>()>;

/// What was typed, and what there is.
struct RankWish {
  int tp = 0;                       ///< --tp; 0 = chosen here
  int gpus = 1;                     ///< that may be used
  std::string gpus_typed = "auto";  ///< --gpus; unless auto, exactly these GPUs are used
  int ranks_per_gpu = 1;            ///< --ranks-per-gpu
};

struct RankChoice {
  int ranks = 1;
  int gpus = 1;          ///< the first ones; GPU i has the ranks from i * ranks / gpus on
  std::string left_out;  ///< which GPUs are not used and why; empty: none
};

/// `left_out` is the reason alone. kInvalidArgument is one sentence with the legal rank counts or
/// with what to type.
Result<RankChoice> choose_ranks(const RankWish& wish, const LegalRanks& legal);

}  // namespace tutti
