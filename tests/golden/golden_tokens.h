// The golden continuation compared token by token, through a runner and through the engine. A token
// counts where the reference is clear about it: its gap is at least `least_gap`.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "golden/golden.h"

namespace tutti::testing {

struct TokenComparison {
  int64_t compared = 0;  ///< tokens of the continuation
  int64_t decoded = 0;   ///< of these, chosen by decode steps; the others by prompt steps
  std::string wrong;     ///< the first few that differ; empty: none
};

/// Three sequences side by side, decoded by steps that a device can record. Every step is told the
/// golden token of the one before, so that a token that falls the other way disturbs no other. The
/// third sequence leaves half-way, so that padding and another number of sequences take part.
TokenComparison compare_forced(RankedModelRunner& runner, const Golden& golden, double least_gap);

/// Through an Engine, which feeds tokens back on the device: the continuation is cut before and
/// behind every token that is not clear, and each piece is requested `copies` times, all at once,
/// with the golden tokens before it as its prompt.
TokenComparison compare_through_engine(std::unique_ptr<RankedModelRunner> runner,
                                       const Golden& golden,
                                       double least_gap,
                                       int copies = 3);

}  // namespace tutti::testing
