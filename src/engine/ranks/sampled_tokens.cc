#include "engine/ranks/sampled_tokens.h"

#include "base/checked.h"

namespace tutti {

namespace {

constexpr int32_t kNothingLeft = -2;  // see Ops::take_adjusted

}  // namespace

Status SampledTokens::allocate(Device& device, int64_t max_sequences) {
  const auto buffer = [&](int64_t columns) {
    return HostBuffer::allocate(
        device, max_sequences * columns * ssize(sizeof(int32_t)), "tokens of a step");
  };
  TUTTI_TRY(tokens_, buffer(1));
  TUTTI_TRY(top_ids_, buffer(kMaxTopLogprobs));
  TUTTI_TRY(log_probs_, buffer(1 + kMaxTopLogprobs));
  done_ = device.new_fence();
  return ok_status();
}

Status SampledTokens::fetch(RankHandles& rank, const StepResult& result) {
  const auto copy = [&rank](const HostBuffer& buffer, const TensorView& from) {
    return rank.device.copy_to_host(buffer.data(), from.raw(), from.bytes(), rank.stream);
  };
  TUTTI_RETURN_IF_ERROR(copy(tokens_, result.sampled));
  if (result.log_probs.defined()) {
    TUTTI_RETURN_IF_ERROR(copy(top_ids_, result.top_ids));
    TUTTI_RETURN_IF_ERROR(copy(log_probs_, result.log_probs));
  }
  return done_->record(rank.stream);
}

Status SampledTokens::read(std::span<const SampledRow> rows, StepOutput& output) const {
  TUTTI_RETURN_IF_ERROR(done_->wait());
  for (size_t r = 0; r < rows.size(); ++r) {
    SampledToken sampled{.token = token(r)};
    if (sampled.token < 0) {
      output.add_failure(rows[r].sequence_id,
                         sampled.token == kNothingLeft ? forbidden_tokens() : unusable_logits());
      continue;
    }
    if (rows[r].top_logprobs >= 0) {
      const float* value =
          static_cast<const float*>(log_probs_.data()) + r * usize(1 + kMaxTopLogprobs);
      const int32_t* id = static_cast<const int32_t*>(top_ids_.data()) + r * usize(kMaxTopLogprobs);
      sampled.logprob = value[0];
      for (int32_t j = 0; j < rows[r].top_logprobs && id[j] >= 0; ++j) {
        sampled.top.push_back({.token = id[j], .logprob = value[1 + j]});
      }
    }
    output.add(rows[r].sequence_id, std::move(sampled));
  }
  return ok_status();
}

}  // namespace tutti
