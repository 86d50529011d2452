// A model whose next token is a hash of the whole context, computed from simulated KV blocks only:
// each step stores (token, position) in the slots of the blocks it is given and reads the context
// back from them. A block that is mixed up, shared by mistake or released too early shows at once.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "engine/model_runner.h"

namespace tutti {

/// Next token of a context under the fake model, in [0, vocab).
int32_t fake_next_token(std::span<const int32_t> context, const SampleRow& row, int64_t vocab);

/// Output of a request that runs alone, without its stop id.
std::vector<int32_t> fake_output(std::vector<int32_t> prompt,
                                 const SamplingParams& sampling,
                                 int32_t choice,
                                 int64_t max_tokens,
                                 std::span<const int32_t> stop_ids,
                                 int64_t vocab);

class FakeModelRunner final : public ModelRunner {
 public:
  /// Called for each step before its result is made; an error is the step's result. May block.
  using Hook = std::function<Status(const Batch&)>;
  /// Replaces the token of one sequence; may set an error.
  using TokenHook = std::function<void(const BatchSequence&, SequenceOutput&)>;

  explicit FakeModelRunner(const RunnerLimits& limits);

  const RunnerLimits& limits() const override { return limits_; }

  Status submit(Batch batch) override;
  Result<StepOutput> collect() override;

  void set_hook(Hook hook) { hook_ = std::move(hook); }

  void set_token_hook(TokenHook hook) { token_hook_ = std::move(hook); }

  /// Yields up to this many tokens at once, as speculation does.
  void set_tokens_per_step(int64_t count) { tokens_per_step_ = count; }

  int64_t steps() const { return steps_.load(); }

 private:
  struct Slot {
    int32_t token = -1;
    int32_t position = -1;
  };

  Result<StepOutput> forward(const Batch& batch);
  Status check_batch(const Batch& batch) const;
  Slot& slot(const BatchSequence& sequence, int64_t position);

  const RunnerLimits limits_;
  std::vector<Slot> storage_;  // [num_blocks, block_size]
  std::deque<Batch> submitted_;
  int64_t tokens_per_step_ = 1;
  Hook hook_;
  TokenHook token_hook_;
  std::atomic<int64_t> steps_ = 0;
};

}  // namespace tutti
