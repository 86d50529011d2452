// What the devices keep of sequences whose logits are changed before a token is drawn from them:
// mask, biases, and the tokens seen. A pool of bounded size; sequences that find no room are the
// host's. Here is the host's side, which decides what the devices must be told; their tables are in
// adjusted_tables.h.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/ranks/step_plan.h"
#include "ops/ops.h"
#include "sched/batch.h"

namespace tutti {

class AdjustedRows {
 public:
  /// Sequences of one step at most: their adjusted logits are kept beside the others.
  static constexpr int64_t kMaxRows = 64;
  /// Rows of a step with `count` of them, padding included: few sizes, because each is recorded.
  static int64_t padded(int64_t count, int64_t most);

  void configure(int64_t rows, int64_t slots, int64_t vocab_size);

  /// 0 before configure(): nothing can be adjusted.
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

  /// Adds to `plan` what the devices do not have yet of the row. The result lacks
  /// AdjustParams::row. At most capacity() slots are kept or placed between two calls of
  /// end_step().
  AdjustParams place(int32_t slot,
                     const SampleRow& row,
                     std::span<const uint32_t> mask,
                     StepPlan& plan);

  void end_step();

 private:
  struct State {
    int32_t slot = -1;
    bool kept = false;    // by a row of this step
    bool counts = false;  // `seen` is up to date
    bool allows = false;  // `allowed` is that of the rules
    int32_t edits = 0;
  };

  int32_t take_state(int32_t slot);
  void write_edits(int32_t state, const LogitRules& rules, StepPlan& plan);
  void write_allowed(int32_t state,
                     std::span<const int32_t> allowed,
                     std::span<const uint32_t> mask,
                     StepPlan& plan) const;
  void write_seen(int32_t state, const SampleRow& row, StepPlan& plan) const;

  bool legal(int32_t token) const { return token >= 0 && token < vocab_size_; }

  int64_t vocab_size_ = 0;
  std::vector<State> states_;
  std::vector<int32_t> state_of_;  // by slot; -1: none
  // Scratch.
  std::vector<LogitBias> biases_;
  std::vector<int32_t> order_;
};

}  // namespace tutti
