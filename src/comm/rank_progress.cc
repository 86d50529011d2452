#include "comm/rank_progress.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/checked.h"

namespace tutti {

namespace {

// A call in one word: op, root, bytes. Only compared and printed, so sizes that need more bits than
// there are do no harm.
constexpr int kBytesBits = 48;
constexpr int kRootBits = 8;

uint64_t pack(const CollectiveCall& call) {
  const uint64_t op = static_cast<uint64_t>(call.op);
  const auto root = static_cast<uint64_t>(call.root) & ((uint64_t{1} << kRootBits) - 1);
  const auto bytes = static_cast<uint64_t>(call.bytes) & ((uint64_t{1} << kBytesBits) - 1);
  return op << (kBytesBits + kRootBits) | root << kBytesBits | bytes;
}

CollectiveCall unpack(uint64_t word) {
  return {.op = static_cast<CollectiveOp>(word >> (kBytesBits + kRootBits)),
          .root = static_cast<int>(word >> kBytesBits & ((uint64_t{1} << kRootBits) - 1)),
          .bytes = static_cast<int64_t>(word & ((uint64_t{1} << kBytesBits) - 1))};
}

// 14336 -> "14,336"
std::string grouped(int64_t value) {
  std::string digits = std::to_string(value);
  for (int64_t at = ssize(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(usize(at), 1, ',');
  }
  return digits;
}

}  // namespace

const char* collective_name(CollectiveOp op) {
  switch (op) {
    case CollectiveOp::kNone:
      break;
    case CollectiveOp::kBarrier:
      return "barrier";
    case CollectiveOp::kAllReduceSum:
      return "all_reduce_sum";
    case CollectiveOp::kAllGatherColumns:
      return "all_gather_columns";
    case CollectiveOp::kExchangeRows:
      return "exchange_rows";
    case CollectiveOp::kBroadcast:
      return "broadcast";
  }
  return "no collective";
}

std::string to_string(const CollectiveCall& call) {
  if (call.op == CollectiveOp::kNone || call.op == CollectiveOp::kBarrier) {
    return collective_name(call.op);
  }
  return fmt::format(
      "{} ({} bytes{})",
      collective_name(call.op),
      grouped(call.bytes),
      call.op == CollectiveOp::kBroadcast ? fmt::format(" of rank {}", call.root) : "");
}

void RankProgress::enter(int rank, const CollectiveCall& call) {
  Seat& seat = seats_[usize(rank)];
  const uint64_t number = seat.entered.load(std::memory_order_relaxed) + 1;
  seat.calls[number % 2].store(pack(call), std::memory_order_relaxed);
  seat.entered.store(number, std::memory_order_release);
}

void RankProgress::arrive(int rank) {
  Seat& seat = seats_[usize(rank)];
  seat.arrived.store(seat.arrived.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void RankProgress::reset() {
  for (Seat& seat : seats_) {
    seat.entered.store(0, std::memory_order_relaxed);
    seat.arrived.store(0, std::memory_order_relaxed);
  }
}

std::optional<std::string> RankProgress::disagreement(int rank) const {
  const uint64_t number = seats_[usize(rank)].entered.load(std::memory_order_relaxed);
  const auto word = [&](size_t r) {
    return seats_[r].calls[number % 2].load(std::memory_order_relaxed);
  };
  for (size_t r = 1; r < seats_.size(); ++r) {
    if (word(r) != word(0)) {
      return fmt::format("the ranks disagree on collective {}: rank 0 calls {}, rank {} calls {}",
                         number,
                         to_string(unpack(word(0))),
                         r,
                         to_string(unpack(word(r))));
    }
  }
  return std::nullopt;
}

std::string RankProgress::missing(int rank, double seconds) const {
  const Seat& own = seats_[usize(rank)];
  const uint64_t number = own.entered.load(std::memory_order_relaxed);
  const CollectiveCall call = unpack(own.calls[number % 2].load(std::memory_order_relaxed));
  const uint64_t arrived = own.arrived.load(std::memory_order_relaxed);
  std::vector<size_t> peers;
  for (size_t r = 0; r < seats_.size(); ++r) {
    if (seats_[r].arrived.load(std::memory_order_acquire) < arrived) {
      peers.push_back(r);
    }
  }
  std::string why = fmt::format("{}: rank {} waited {:.1f} s", to_string(call), rank, seconds);
  if (peers.empty()) {
    return why + " for ranks that arrived at that moment";
  }
  const Seat& first = seats_[peers.front()];
  const uint64_t last = first.entered.load(std::memory_order_acquire);
  why += fmt::format(" for rank{} {}, which did not arrive (",
                     peers.size() == 1 ? "" : "s",
                     fmt::join(peers, ", "));
  if (peers.size() > 1) {
    why += fmt::format("rank {} ", peers.front());
  } else {
    why += "it ";
  }
  if (last == 0) {
    return why + "has called no collective yet)";
  }
  const CollectiveCall passed = unpack(first.calls[last % 2].load(std::memory_order_relaxed));
  // A rank in the same call has come to the first of its waits and stopped before the next.
  return why + fmt::format("{} {} {})",
                           last == number ? "is inside" : "last passed",
                           collective_name(passed.op),
                           last);
}

}  // namespace tutti
