// One step as all ranks run it. The engine thread makes it once from a Batch (step_planner.h);
// every rank reads the same plan, so that padded sizes, recorded steps and the way tokens are
// sampled agree without a word between the ranks. A flat value of integers: encode() and decode()
// carry it to ranks of other hosts.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tutti {

/// Shapes that ranks are ready for; their activation arenas are sized from them.
struct StepShape {
  int64_t max_tokens = 512;
  int64_t max_sequences = 64;
  int64_t max_logit_rows = 64;
  int64_t max_context = 0;
  int64_t block_size = 16;
  int64_t num_blocks = 0;    ///< of the KV cache; 0 while it is not known
  int64_t max_adjusted = 0;  ///< rows of logits that requests may change; see AdjustedRows
  int64_t vocab_size = 0;
  int64_t vocab_limit = 0;  ///< ids from here on are never sampled
  bool long_ropes = false;  ///< the model has two sets of rotary frequencies

  /// Columns of the ranks' block tables.
  int64_t table_width() const;
};

/// Sizes that decode steps of up to `most` sequences are padded to, ascending. Finer where a row
/// costs more: small batches are waiting for weights, and each further eight rows cost them little.
std::vector<int64_t> padded_sizes(int64_t most);

/// Rows of a step's tensors, padding included.
struct StepRows {
  int64_t tokens = 0;
  int64_t sequences = 0;
  int64_t logits = 0;
  int64_t draws = 0;      ///< 0 or `logits`
  int64_t log_probs = 0;  ///< 0 or `logits`
  int64_t adjusted = 0;   ///< rows of logits that requests change, and padding
  int64_t ropes = 0;      ///< 0 or `tokens`: of models with two sets of rotary frequencies

  /// 32-bit words of the inputs of the forward pass, in the order of lay_out_inputs().
  int64_t input_words() const;
  /// 32-bit words that say how tokens are sampled.
  int64_t sampling_words() const;

  /// Whether tokens are the largest logits and nothing else is wanted of them.
  bool greedy() const { return draws == 0 && log_probs == 0 && adjusted == 0; }
};

/// Biases, bad words and end ids of one sequence that devices keep at most.
constexpr int64_t kMaxEdits = 1024;
constexpr int64_t kEditWords = 3;  ///< of one of them in AdjustTables::edits

/// Words for a table that devices keep about rows with changed logits (AdjustTables).
struct StateWrite {
  enum Table : int32_t { kSeen = 0, kAllowed = 1, kEdits = 2 };

  int32_t table = kSeen;
  int32_t state = 0;  ///< the row of the table; written from its first word on
  int32_t begin = 0;  ///< in StepPlan::state_words
  int32_t count = 0;
};

struct StepPlan {
  static constexpr int32_t kVersion = 1;

  uint64_t step = 0;
  StepRows rows;
  int64_t table_width = 1;  ///< columns of the block tables that attention reads
  int64_t max_queries = 0;  ///< AttentionBatch::max_queries
  int64_t max_keys = 0;     ///< AttentionBatch::max_keys
  int64_t total_keys = 0;   ///< keys of all sequences together
  /// A decode step of a size that the ranks have recorded.
  bool recorded = false;
  /// The host wants the logits; otherwise the devices sample the tokens.
  bool host_chooses = false;
  std::vector<int32_t> inputs;        ///< StepRows::input_words()
  std::vector<int32_t> sampling;      ///< StepRows::sampling_words()
  std::vector<int32_t> table_places;  ///< places in the block tables, flat: slot * width + column
  std::vector<int32_t> table_blocks;  ///< what comes there
  std::vector<StateWrite> state_writes;
  std::vector<int32_t> state_words;

  /// Empty, with the capacity it had.
  void clear(uint64_t next_step);

  bool operator==(const StepPlan& other) const;
};

/// Appends the plan to `out`: little-endian, with kVersion first.
void encode(const StepPlan& plan, std::string& out);

/// kInvalidArgument where `bytes` are not an encoded plan, or more than one.
Result<StepPlan> decode(std::string_view bytes);

/// kInvalidArgument names the first thing about a plan from elsewhere that ranks of this shape
/// could not run: counts that do not match, numbers that point outside tensors and tables. What
/// passes touches no memory but the step's own.
Status check_plan(const StepPlan& plan, const StepShape& shape);

}  // namespace tutti
