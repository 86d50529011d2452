// What the engine needs from "the model on all its ranks". The real one drives rank threads
// (engine/ranks/ranked_model_runner.h); tests use a fake.
#pragma once
#include <cstdint>

#include "base/status.h"
#include "sched/batch.h"

namespace tutti {

struct RunnerLimits {
  int64_t block_size = 16;         ///< tokens per KV block
  int64_t num_blocks = 0;          ///< KV blocks in the pool
  int64_t max_batch_tokens = 512;  ///< tokens in one step
  int64_t max_batch_sequences = 64;
  int64_t max_context = 0;          ///< tokens of prompt + output of one sequence
  int64_t vocab_size = 0;           ///< ids in [0, vocab_size) are legal input
  int64_t long_prompt_from = 0;     ///< SchedulerConfig::long_prompt_from
  int64_t max_score_rows = 0;       ///< prompt tokens of one step that can be scored
  int64_t max_tokens_per_step = 1;  ///< output of one sequence; more than 1: no running ahead
  /// Operations of the steps that were run at load which only a general kernel takes: right but
  /// slow.
  int64_t general_kernel_calls = 0;
};

class ModelRunner {
 public:
  virtual ~ModelRunner() = default;
  virtual const RunnerLimits& limits() const = 0;

  /// Starts a step and does not wait for it, though perhaps for earlier ones, if it needs their
  /// tokens to be known. Two steps may be in flight. They are executed in the order of submission:
  /// whatever a step reads or writes, the one before has written. `batch` must not change until the
  /// step has been collected. Called by the engine thread only.
  virtual Status submit(const Batch& batch) = 0;

  /// How long the last submit() waited for earlier steps.
  virtual double waited_seconds() const { return 0; }

  /// Waits for the oldest submitted step and replaces `output` by its result. A kDevice error means
  /// that this runner is unusable from now on; any other loses this step only, and may be returned
  /// only if every rank is where it was before the step. Does not wait for ever for a rank.
  virtual Status collect(StepOutput& output) = 0;
};

}  // namespace tutti
