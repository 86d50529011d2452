// A model that answers at once and without looking: for counting what the engine itself costs.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <utility>

#include "engine/model_runner.h"

namespace tutti {

class CannedModelRunner final : public ModelRunner {
 public:
  explicit CannedModelRunner(const RunnerLimits& limits) : limits_(limits) {}

  const RunnerLimits& limits() const override { return limits_; }

  /// Called by the engine thread for each step.
  void set_on_submit(std::function<void(const Batch&)> hook) { on_submit_ = std::move(hook); }

  Status submit(const Batch& batch) override {
    if (on_submit_) {
      on_submit_(batch);
    }
    StepOutput& out = answers_[submitted_++ % answers_.size()];
    answer(batch, out);
    return ok_status();
  }

  Status collect(StepOutput& output) override {
    std::swap(output, answers_[collected_++ % answers_.size()]);
    return ok_status();
  }

  /// A token for every row.
  void answer(const Batch& batch, StepOutput& out) const {
    out.clear(batch.step);
    for (const BatchSequence& s : batch.sequences) {
      if (s.sample) {
        SampledToken token;
        token.token =
            static_cast<int32_t>((s.sequence_id + static_cast<uint64_t>(s.output_position)) %
                                 static_cast<uint64_t>(limits_.vocab_size));
        out.add(s.sequence_id, std::move(token));
      }
    }
  }

 private:
  const RunnerLimits limits_;
  std::function<void(const Batch&)> on_submit_;
  std::array<StepOutput, 4> answers_;
  size_t submitted_ = 0;
  size_t collected_ = 0;
};

}  // namespace tutti
