// P2P is believed only after moved data. There are machines on which every query says yes and the
// first copy hangs, so the test runs in a child that can be killed; after a hang or a crash the
// pairs that were left are tried one by one, each in a child of its own.
#pragma once
#include <chrono>
#include <string>
#include <vector>

#include "backend/peer_report.h"

namespace tutti {

/// The last line of a testing process that came to its end.
inline constexpr const char* kPeerTestEnd = "end";

/// In front of the reason why a testing process cannot test anything.
inline constexpr const char* kPeerTestFailed = "failed ";

struct PeerCheckOptions {
  /// The testing program and its arguments, to which "--pairs 0:1,1:0" is added.
  std::vector<std::string> command;
  std::chrono::milliseconds all_limit{20'000};  ///< for all pairs in one child
  std::chrono::milliseconds pair_limit{5'000};  ///< for one pair alone
  /// For all pairs alone; those that are left then stay untested.
  std::chrono::milliseconds narrowing_limit{60'000};
};

/// Tests all ordered pairs of `gpus` (two or more, each once).
PeerReport check_peers(const std::vector<int>& gpus, const PeerCheckOptions& options);

/// The same in this process, which a machine that hangs takes along: for programs that cannot start
/// themselves. `test` tells of each pair and returns why it could test nothing, or an empty string.
PeerReport check_peers_here(const std::vector<int>& gpus,
                            const std::function<std::string(const std::vector<PeerResult>& pairs,
                                                            const PeerSay& say)>& test);

}  // namespace tutti
