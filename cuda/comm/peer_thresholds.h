// Which messages travel how: up to two sizes, measured on the machine or as they were found there
// before.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cuda/comm/peer_types.h"

namespace tutti::cuda {

struct PeerThresholds {
  // As measured on two H200s.
  int64_t flagged_bytes = int64_t{128} << 10;  ///< up to here: flagged data
  int64_t push_bytes = int64_t{1} << 20;       ///< from there up to here: pushed; then two shots

  PeerAlgorithm choose(int64_t bytes) const {
    return bytes <= flagged_bytes ? PeerAlgorithm::kFlagged
           : bytes <= push_bytes  ? PeerAlgorithm::kPush
                                  : PeerAlgorithm::kTwoShot;
  }

  bool operator==(const PeerThresholds&) const = default;
};

/// "flagged 131072 push 1048576"
std::string to_text(const PeerThresholds& thresholds);

/// Reads to_text(); kCorrupt shows what was found instead.
Result<PeerThresholds> parse_thresholds(std::string_view text);

/// What one size takes, in any unit; infinite where a way cannot take the size.
struct PeerSample {
  int64_t bytes = 0;
  double seconds[3] = {};  ///< by PeerAlgorithm
};

/// The thresholds that lose least against always taking the fastest way, as a product of factors
/// over all samples, which come in order of size. A few wrong medians do not move them far.
PeerThresholds choose_thresholds(std::span<const PeerSample> samples);

}  // namespace tutti::cuda
