// Where each rank of a group is: the collective it is in and how often it has waited for the
// others. Says who is missing when somebody has waited too long, and who called something else.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tutti {

enum class CollectiveOp : uint8_t {
  kNone,
  kBarrier,
  kAllReduceSum,
  kAllGatherColumns,
  kExchangeRows,
  kBroadcast,
};

/// "all_reduce_sum"
const char* collective_name(CollectiveOp op);

/// One call of a collective, equal on all ranks.
struct CollectiveCall {
  CollectiveOp op = CollectiveOp::kNone;
  int root = 0;       ///< of a broadcast
  int64_t bytes = 0;  ///< of the result

  bool operator==(const CollectiveCall&) const = default;
};

/// "all_reduce_sum (14,336 bytes)"
std::string to_string(const CollectiveCall& call);

/// Each rank writes its own place, any thread reads all of them.
class RankProgress {
 public:
  explicit RankProgress(int size) : seats_(static_cast<size_t>(size)) {}

  /// Rank `rank` begins its next collective.
  void enter(int rank, const CollectiveCall& call);
  /// It comes to a point where it waits for the others: one of those within a collective.
  void arrive(int rank);

  /// As if no collective had been called. Nobody may be in one.
  void reset();

  /// Between the first wait of a collective and the next one: nullopt if all ranks are in the same
  /// call as `rank`, else what differs, in the same words on every rank.
  std::optional<std::string> disagreement(int rank) const;

  /// Why `rank` has waited for `seconds` where it is now.
  std::string missing(int rank, double seconds) const;

 private:
  // By number of the call, the last two: a rank may be in its next collective while others still
  // look at this one, but never in the one after that.
  struct alignas(64) Seat {
    std::array<std::atomic<uint64_t>, 2> calls{};
    std::atomic<uint64_t> entered{0};
    std::atomic<uint64_t> arrived{0};
  };

  std::vector<Seat> seats_;
};

}  // namespace tutti
