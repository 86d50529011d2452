// Sequences of one length that run in lock step below the scheduler, so that nothing but the model
// is measured.
#pragma once
#include <array>
#include <vector>

#include "engine/ranks/ranked_model_runner.h"

namespace tutti {

struct LockstepShape {
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;  ///< of every sequence; the first comes from the prompt
  int64_t batch = 1;       ///< sequences
  int64_t vocab = 0;       ///< prompts have ids below; 0 = all
  SamplingParams sampling;
};

/// The runner's tables and cache are this object's alone while it runs.
class LockstepRun {
 public:
  LockstepRun(RankedModelRunner& runner, const LockstepShape& shape);

  /// kInvalidArgument if the sequences do not fit the runner.
  Status check() const;

  /// On a GPU libraries choose their algorithms and kernels are loaded when first used, and steps
  /// are recorded when seen again.
  Status warm_up();

  struct Times {
    double prefill_seconds = 0;
    double decode_seconds = 0;  ///< from the first new token of a sequence to the last
  };

  Result<Times> run();

  /// The operations of one step with the (first part of the) prompt of one sequence; after run().
  Result<std::vector<OpTiming>> profile_prompt();
  /// The operations of one decode step at mid length; after run().
  Result<std::vector<OpTiming>> profile_decode();

  /// Tokens in the step that profile_prompt() looks at.
  int64_t prompt_step_tokens() const;

 private:
  int32_t prompt_id(int64_t sequence, int64_t i) const;
  BatchSequence sequence(
      int64_t s, int64_t begin, int64_t context, int64_t count, bool sample) const;
  void join(int64_t s, Batch& batch) const;
  void fill_prompt(int64_t s, int64_t at, int64_t count, Batch& batch) const;
  void fill_decode(int64_t done, bool first, Batch& batch) const;
  Status collect();
  Status prefill();
  Status decode(int64_t tokens);

  RankedModelRunner& runner_;
  LockstepShape shape_;
  std::vector<int32_t> blocks_;
  int64_t blocks_each_ = 0;
  std::vector<int32_t> last_;
  std::array<Batch, 2> batches_;  // of the steps in flight
  StepOutput output_;
};

}  // namespace tutti
