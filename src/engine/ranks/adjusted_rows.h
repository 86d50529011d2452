// What rank 0's device keeps of sequences whose logits are changed before a token is drawn from
// them: mask, biases, and the tokens seen. A pool of bounded size; sequences that find no room are
// the host's.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend/rank_group.h"
#include "sched/batch.h"

namespace tutti {

class AdjustedRows {
 public:
  /// Sequences of one step at most: their adjusted logits are kept beside the others.
  static constexpr int64_t kMaxRows = 64;
  /// Biases, bad words and end ids of one sequence at most.
  static constexpr int64_t kMaxEdits = 1024;

  /// Rows of a step with `count` of them, padding included: few sizes, because each is recorded.
  static int64_t padded(int64_t count, int64_t most);

  static int64_t device_bytes(int64_t rows, int64_t vocab_size);

  Status allocate(RankContext& rank, int64_t rows, int64_t slots, int64_t vocab_size);

  /// 0 before allocate(): nothing can be adjusted.
  int64_t capacity() const { return ssize(states_); }

  /// Whether the device can do what the row wants, whatever it generates.
  static bool can_adjust(const SampleRow& row);

  /// Another sequence moves into the slot.
  void release(int32_t slot);

  /// The host has sampled for the slot: the device does not know the token.
  void outdate(int32_t slot);

  /// Before the others of a step: what the slot has is not given to somebody else.
  void keep(int32_t slot);

  /// Whether place() would read the row's tokens.
  bool reads_tokens(int32_t slot, const SampleRow& row) const;

  /// Queues what the device does not have yet of the row. The result lacks AdjustParams::row. At
  /// most capacity() slots are kept or placed between two calls of end_step().
  Result<AdjustParams> place(RankContext& rank,
                             int32_t slot,
                             const SampleRow& row,
                             std::span<const uint32_t> mask);

  void end_step();

  AdjustTables tables() const {
    return {.seen = seen_.view(), .allowed = allowed_.view(), .edits = edits_.view()};
  }

 private:
  struct State {
    int32_t slot = -1;
    bool kept = false;    // by a row of this step
    bool counts = false;  // `seen` is up to date
    bool allows = false;  // `allowed` is that of the rules
    int32_t edits = 0;
  };

  int32_t take_state(int32_t slot);
  Status upload_edits(RankContext& rank, int32_t state, const LogitRules& rules);
  Status upload_allowed(RankContext& rank,
                        int32_t state,
                        std::span<const int32_t> allowed,
                        std::span<const uint32_t> mask);
  Status upload_seen(RankContext& rank, int32_t state, const SampleRow& row);

  bool legal(int32_t token) const { return token >= 0 && token < seen_.shape()[1]; }

  std::vector<State> states_;
  std::vector<int32_t> state_of_;  // by slot; -1: none
  Tensor seen_;
  Tensor allowed_;
  Tensor edits_;
  // On their way to the device.
  std::vector<int32_t> words_;
  std::vector<LogitBias> biases_;
};

}  // namespace tutti
