#include "engine/ranks/token_sampler.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "engine/random.h"

namespace tutti {

namespace {

bool adjusts(const BatchSequence& s, const SampleRow& row) {
  return s.mask_begin >= 0 || !row.plain();
}

DrawParams draw_of(const SampleRow& row) {
  const SamplingParams& params = row.params;
  const uint64_t uniform = uniform_units(params.seed, row.choice, row.output_position);
  return {.temperature = params.temperature,
          .top_k = params.top_k,
          .top_p = params.top_p,
          .min_p = params.min_p,
          .uniform_low = static_cast<uint32_t>(uniform),
          .uniform_high = static_cast<uint32_t>(uniform >> 32U)};
}

/// Of structs that are i32 and f32 throughout.
template <class T>
void append_words(const std::vector<T>& from, std::vector<int32_t>& to) {
  const size_t words = to.size();
  to.resize(words + from.size() * sizeof(T) / sizeof(int32_t));
  if (!from.empty()) {
    std::memcpy(to.data() + words, from.data(), from.size() * sizeof(T));
  }
}

}  // namespace

void TokenSampler::configure(const StepShape& shape, bool devices_sample) {
  vocab_size_ = shape.vocab_size;
  vocab_limit_ = shape.vocab_limit;
  devices_sample_ = devices_sample;
  adjusted_.configure(shape.max_adjusted, shape.max_sequences, shape.vocab_size);
  unread_.assign(usize(shape.max_sequences), {});
  host_tokens_.assign(usize(shape.max_sequences), 0);
}

void TokenSampler::join(const Batch& batch) {
  rows_.join(batch);
  for (const BatchJoin& join : batch.joins) {
    adjusted_.release(join.slot);
    unread_[usize(join.slot)] = {.occupant = rows_.occupant(join.slot)};
  }
}

bool TokenSampler::unread(int32_t slot) const {
  return unread_[usize(slot)].count > 0;
}

bool TokenSampler::needs_tokens(const Batch& batch) const {
  return devices_sample_ && adjusted_.capacity() > 0 &&
         std::any_of(batch.sequences.begin(), batch.sequences.end(), [this](const auto& s) {
           return s.sample && unread(s.slot) &&
                  adjusted_.reads_tokens(s.slot, rows_.of_slot(s.slot));
         });
}

void TokenSampler::took(const SampledRow& row, int32_t token) {
  Unread& unread = unread_[usize(row.slot)];
  if (row.occupant != unread.occupant) {
    return;  // the sequence has left the slot
  }
  --unread.count;
  if (token >= 0) {
    rows_.took(row.slot, token);
  }
}

bool TokenSampler::suits_device(const BatchSequence& s, const SampleRow& row) const {
  if (s.score >= 0) {
    return false;
  }
  if (!s.sample) {
    return true;
  }
  if (adjusts(s, row)) {
    return devices_sample_ && AdjustedRows::can_adjust(row);
  }
  return devices_sample_ || (row.params.greedy() && row.params.top_logprobs < 0);
}

bool TokenSampler::devices_can_sample(const Batch& batch) {
  bool greedy = true;
  bool log_probs = false;
  int64_t adjusted = 0;
  for (const BatchSequence& s : batch.sequences) {
    const SampleRow& row = rows_.at(s);
    if (!suits_device(s, row)) {
      return false;
    }
    if (!s.sample) {
      continue;
    }
    // Of a row that is changed, what comes first is only whether its logits are of use.
    const bool plain = !adjusts(s, row);
    adjusted += plain ? 0 : 1;
    greedy = greedy && (row.params.greedy() || !plain);
    log_probs = log_probs || row.params.top_logprobs >= 0;
    draws_.push_back(plain ? draw_of(row) : DrawParams());
    log_probs_.push_back(row.params.top_logprobs);
  }
  if (greedy) {
    draws_.clear();
  }
  if (!log_probs) {
    log_probs_.clear();
  }
  return adjusted <= adjusted_.capacity();
}

void TokenSampler::plan_step(const Batch& batch, StepPlan& plan, std::vector<SampledRow>& rows) {
  plan_greedy(plan);
  rows.clear();
  host_sampled_last_ = !devices_can_sample(batch);
  plan.host_chooses = host_sampled_last_;
  if (host_sampled_last_) {
    plan_greedy(plan);
    return;
  }
  for (const BatchSequence& s : batch.sequences) {
    if (s.sample) {
      rows.push_back({.sequence_id = s.sequence_id,
                      .slot = s.slot,
                      .occupant = rows_.occupant(s.slot),
                      .top_logprobs = rows_.at(s).params.top_logprobs});
      ++unread_[usize(s.slot)].count;
    }
  }
  place_adjusted(batch, plan);
}

void TokenSampler::plan_greedy(StepPlan& plan) {
  draws_.clear();
  log_probs_.clear();
  adjusts_.clear();
  adjusted_draws_.clear();
  plan.sampling.clear();
}

void TokenSampler::plan_everything(int64_t rows, StepPlan& plan) {
  plan_greedy(plan);
  if (devices_sample_) {
    draws_.assign(usize(rows), {.temperature = 1.0F, .top_k = 50, .top_p = 0.9F});
    log_probs_.assign(usize(rows), kMaxTopLogprobs);
    adjusts_.resize(usize(
        AdjustedRows::padded(std::min<int64_t>(1, adjusted_.capacity()), adjusted_.capacity())));
    adjusted_draws_.resize(adjusts_.size());
  }
}

void TokenSampler::pack(StepPlan& plan) {
  const size_t rows = usize(plan.rows.logits);
  if (!draws_.empty()) {
    draws_.resize(rows);
  }
  if (!log_probs_.empty()) {
    log_probs_.resize(rows, -1);
  }
  plan.rows.draws = ssize(draws_.size());
  plan.rows.log_probs = ssize(log_probs_.size());
  plan.rows.adjusted = ssize(adjusts_.size());
  // The order of lay_out_sampling.
  plan.sampling.insert(plan.sampling.end(), log_probs_.begin(), log_probs_.end());
  append_words(draws_, plan.sampling);
  append_words(adjusts_, plan.sampling);
  append_words(adjusted_draws_, plan.sampling);
}

void TokenSampler::place_adjusted(const Batch& batch, StepPlan& plan) {
  const auto changed = [this](const BatchSequence& s) {
    return s.sample && adjusts(s, rows_.of_slot(s.slot));
  };
  if (std::none_of(batch.sequences.begin(), batch.sequences.end(), changed)) {
    return;
  }
  adjusted_.end_step();  // of one that was lost while it was planned
  for (const BatchSequence& s : batch.sequences) {
    if (changed(s)) {
      adjusted_.keep(s.slot);
    }
  }
  int32_t sampled = 0;
  for (const BatchSequence& s : batch.sequences) {
    if (changed(s)) {
      const SampleRow& row = rows_.at(s);
      AdjustParams params = adjusted_.place(s.slot, row, batch.mask_of(s), plan);
      params.row = sampled;
      adjusts_.push_back(params);
      adjusted_draws_.push_back(draw_of(row));
    }
    sampled += s.sample ? 1 : 0;
  }
  adjusted_.end_step();
  const int64_t padded = AdjustedRows::padded(ssize(adjusts_.size()), adjusted_.capacity());
  adjusts_.resize(usize(padded));
  adjusted_draws_.resize(usize(padded));
}

void TokenSampler::sample_on_host(const Batch& batch,
                                  std::span<const float> logits,
                                  StepOutput& output) {
  size_t row = 0;
  for (const BatchSequence& sequence : batch.sequences) {
    if (sequence.yields()) {
      output.rows.push_back(
          read_row(batch, sequence, logits.subspan(row * usize(vocab_size_)), output));
      row += usize(batch.scores_of(sequence).count) + (sequence.sample ? 1 : 0);
    }
  }
}

RowOutput TokenSampler::read_row(const Batch& batch,
                                 const BatchSequence& sequence,
                                 std::span<const float> logits,
                                 StepOutput& out) {
  const size_t vocab = usize(vocab_size_);
  const auto logits_of = [&](int64_t i) { return logits.subspan(usize(i) * vocab, vocab); };
  const SampleRow& wants = rows_.at(sequence);
  RowOutput made{.sequence_id = sequence.sequence_id,
                 .token_begin = narrow<int32_t>(ssize(out.tokens.size())),
                 .score_begin = narrow<int32_t>(ssize(out.scores.size()))};
  const auto fail = [&](Status status) {
    made.failure = narrow<int32_t>(ssize(out.failures.size()));
    out.failures.push_back(std::move(status));
  };
  const int64_t scores = batch.scores_of(sequence).count;
  for (int64_t i = 0; i < scores && made.failure < 0; ++i) {
    Result<PromptScore> scored = score(logits_of(i),
                                       vocab_limit_,
                                       batch.scored_token(sequence, i),
                                       wants.params.prompt_logprobs,
                                       scratch_);
    if (scored.ok()) {
      out.scores.push_back(std::move(scored).value());
      ++made.score_count;
    } else {
      fail(std::move(scored).status());
    }
  }
  if (sequence.sample) {
    Result<SampledToken> token =
        sample(logits_of(scores), vocab_limit_, wants, scratch_, batch.mask_of(sequence));
    // A row that failed ends; should the next step hold it already, any legal token will do there.
    host_tokens_[usize(sequence.slot)] = token.ok() ? token->token : 0;
    if (token.ok()) {
      rows_.took(sequence.slot, token->token);
      adjusted_.outdate(sequence.slot);
      out.tokens.push_back(std::move(token).value());
      made.token_count = 1;
    } else if (made.failure < 0) {
      fail(std::move(token).status());
    }
  }
  return made;
}

}  // namespace tutti
