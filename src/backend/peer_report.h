// Whether GPUs can write and read each other's memory (P2P), pair by pair, and what follows for all
// of them. Knows nothing of CUDA.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

enum class PeerVerdict {
  kUntested,
  kTrying,       ///< the test of this pair has begun
  kOk,           ///< data moved both ways and was right
  kUnsupported,  ///< the driver offers no access
  kWrongData,
  kError,  ///< a call failed
  kHang,
  kCrash,
};

/// GPU `from` writes and reads the memory of GPU `to`; indices are CUDA's.
struct PeerResult {
  int from = 0;
  int to = 0;
  PeerVerdict verdict = PeerVerdict::kUntested;
  std::string text;  ///< what went wrong, one line
};

/// Told about each pair when its test begins and when it ends.
using PeerSay = std::function<void(const PeerResult&)>;

struct PeerReport {
  std::vector<PeerResult> pairs;
  /// What went wrong beside the pairs: each works alone but not all together, or no test started.
  std::string beside;
  double seconds = 0;
  bool in_child = true;  ///< a process of its own that can be ended

  /// One verdict for all who use P2P: every pair works.
  bool usable() const;

  /// "P2P between 8 GPUs: verified by moved data in 1.20 s", or what is wrong and what follows.
  std::string line() const;
};

/// All ordered pairs of different GPUs, untested.
std::vector<PeerResult> peer_pairs(const std::vector<int>& gpus);

/// "0:1,1:0": as the program that tests pairs is told them.
std::string pairs_text(const std::vector<PeerResult>& pairs);

/// The reverse; false if `text` is no such list.
bool parse_pairs(std::string_view text, std::vector<PeerResult>& pairs);

/// One line for one pair, as the testing process writes it.
std::string peer_line(const PeerResult& result);

/// The reverse; false if `line` is none.
bool parse_peer_line(std::string_view line, PeerResult& result);

}  // namespace tutti
