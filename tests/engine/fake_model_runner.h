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
#include "engine/sampler_rows.h"

namespace tutti {

/// Next token of a context under the fake model, in [0, vocab): one of those that rules and mask
/// allow, chosen by a hash; -1 if they allow none.
int32_t fake_next_token(std::span<const int32_t> context,
                        const SampleRow& row,
                        int64_t vocab,
                        std::span<const uint32_t> mask = {});

/// What the fake model says of a prompt token after `context`; its alternatives are 65, 66, ...
PromptScore fake_score(std::span<const int32_t> context, int32_t token, int32_t top = 0);

/// Output of a request that runs alone, without its stop id.
std::vector<int32_t> fake_output(std::vector<int32_t> prompt,
                                 const SamplingParams& sampling,
                                 int32_t choice,
                                 int64_t max_tokens,
                                 std::span<const int32_t> stop_ids,
                                 int64_t vocab,
                                 const LogitRulesPtr& rules = nullptr);

class FakeModelRunner final : public ModelRunner {
 public:
  /// One row's result, before it becomes part of the output.
  struct Sampled {
    std::vector<SampledToken> tokens;
    Status status;
  };

  /// Called for each step before its result is made; an error is the step's result. May block.
  using Hook = std::function<Status(const Batch&)>;
  /// Replaces the tokens of one sequence; may set an error.
  using TokenHook = std::function<void(const SampleRow&, Sampled&)>;

  explicit FakeModelRunner(const RunnerLimits& limits);

  const RunnerLimits& limits() const override { return limits_; }

  Status submit(const Batch& batch) override;
  Status collect(StepOutput& output) override;

  void set_hook(Hook hook) { hook_ = std::move(hook); }

  void set_token_hook(TokenHook hook) { token_hook_ = std::move(hook); }

  /// Steps collected.
  int64_t steps() const { return steps_.load(); }

  /// Overwrites what a block holds, as a block would look whose content is not what it is said to
  /// be.
  void scribble(int32_t block, int32_t token);

 private:
  struct Slot {
    int32_t token = -1;
    int32_t position = -1;
  };

  struct Submitted {
    const Batch* batch = nullptr;
    bool overlaps = false;  // the step before was still in flight
  };

  Status forward(const Submitted& step, StepOutput& output);
  Status check_batch(const Submitted& step);
  Status check_blocks(const Submitted& step);
  Status read_context(const Batch& batch, const BatchSequence& sequence);
  void sample(const Batch& batch, const BatchSequence& sequence, StepOutput& output);
  bool follows_lost_step(const BatchSequence& sequence) const;
  Slot& slot(const BatchSequence& sequence, int64_t position);
  std::span<const int32_t> table(const BatchSequence& sequence) const;

  const RunnerLimits limits_;
  std::vector<Slot> storage_;  // [num_blocks, block_size]
  std::deque<Submitted> submitted_;
  // By slot of the batch.
  std::vector<std::vector<int32_t>> tables_;
  std::vector<int32_t> last_;
  SamplerRows rows_;
  // Scratch.
  std::vector<int32_t> context_;
  std::vector<uint64_t> writers_;         // per block: sequence that writes it in this step
  std::vector<uint64_t> writers_before_;  // the same of the step before
  std::vector<uint64_t> seen_;            // per slot: number of the last step with it
  std::vector<uint64_t> lost_;            // sequences of the step before, if that was lost
  uint64_t number_ = 0;
  Hook hook_;
  TokenHook token_hook_;
  std::atomic<int64_t> steps_ = 0;
};

}  // namespace tutti
