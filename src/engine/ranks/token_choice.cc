#include "engine/ranks/token_choice.h"

#include <algorithm>

#include "engine/random.h"

namespace tutti {

namespace {

constexpr int32_t kNothingLeft = -2;  // see Ops::take_adjusted

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

}  // namespace

Status ChosenTokens::allocate(Device& device, int64_t max_sequences) {
  const auto buffer = [&](int64_t columns) {
    return HostBuffer::allocate(
        device, max_sequences * columns * ssize(sizeof(int32_t)), "tokens of a step");
  };
  TUTTI_TRY(tokens, buffer(1));
  TUTTI_TRY(top_ids, buffer(kMaxTopLogprobs));
  TUTTI_TRY(log_probs, buffer(1 + kMaxTopLogprobs));
  done = device.new_fence();
  return ok_status();
}

Status ChosenTokens::read(StepOutput& output) const {
  TUTTI_RETURN_IF_ERROR(done->wait());
  for (size_t r = 0; r < rows.size(); ++r) {
    SampledToken chosen{.token = token_ids()[r]};
    if (chosen.token < 0) {
      output.add_failure(rows[r].sequence_id,
                         chosen.token == kNothingLeft ? forbidden_tokens() : unusable_logits());
      continue;
    }
    if (rows[r].top_logprobs >= 0) {
      const float* value =
          static_cast<const float*>(log_probs.data()) + r * usize(1 + kMaxTopLogprobs);
      const int32_t* id = static_cast<const int32_t*>(top_ids.data()) + r * usize(kMaxTopLogprobs);
      chosen.logprob = value[0];
      for (int32_t j = 0; j < rows[r].top_logprobs && id[j] >= 0; ++j) {
        chosen.top.push_back({.token = id[j], .logprob = value[1 + j]});
      }
    }
    output.add(rows[r].sequence_id, std::move(chosen));
  }
  return ok_status();
}

Status TokenChooser::join(const Batch& batch) {
  ++step_;
  // The engine has collected all but the last step, or nearly so: this does not wait. Later the
  // memory of what was chosen would be used again.
  TUTTI_RETURN_IF_ERROR(learn(step_ - 1));
  rows_.join(batch);
  for (const BatchJoin& join : batch.joins) {
    adjusted_.release(join.slot);
  }
  return ok_status();
}

Status TokenChooser::learn(uint64_t before) {
  size_t count = 0;
  for (; count < unread_.size() && unread_[count].step < before; ++count) {
    const ChosenTokens& chosen = *unread_[count].chosen;
    TUTTI_RETURN_IF_ERROR(chosen.done->wait());
    for (size_t r = 0; r < chosen.rows.size(); ++r) {
      const ChosenTokens::Row& row = chosen.rows[r];
      if (chosen.token_ids()[r] >= 0 && row.tenant == rows_.tenant(row.slot)) {
        rows_.took(row.slot, chosen.token_ids()[r]);
      }
    }
  }
  unread_.erase(unread_.begin(), unread_.begin() + static_cast<ptrdiff_t>(count));
  return ok_status();
}

bool TokenChooser::unread(int32_t slot) const {
  return std::any_of(unread_.begin(), unread_.end(), [&](const Unread& step) {
    const auto& rows = step.chosen->rows;
    return std::any_of(rows.begin(), rows.end(), [&](const ChosenTokens::Row& row) {
      return row.slot == slot && row.tenant == rows_.tenant(slot);
    });
  });
}

bool TokenChooser::suits_device(const RankContext& rank,
                                const BatchSequence& s,
                                const SampleRow& row) const {
  if (s.score >= 0) {
    return false;
  }
  // Where ranks compute on the host, its sampler is faster than the operations and need not copy.
  const bool samples = rank.device.records_graphs();
  if (!s.sample) {
    return true;
  }
  if (adjusts(s, row)) {
    return samples && AdjustedRows::can_adjust(row);
  }
  return samples || (row.params.greedy() && row.params.top_logprobs < 0);
}

Result<std::optional<RankWorker::Choice>> TokenChooser::on_device(RankContext& rank,
                                                                  const Batch& batch) {
  std::optional<RankWorker::Choice> choice;
  bool greedy = true;
  bool log_probs = false;
  int64_t adjusted = 0;
  draws_.clear();
  log_probs_.clear();
  for (const BatchSequence& s : batch.sequences) {
    const SampleRow& row = rows_.at(s);
    if (!suits_device(rank, s, row)) {
      return choice;
    }
    if (!s.sample) {
      continue;
    }
    // Of a row that is adjusted, what comes first is only whether its logits are of use.
    const bool plain = !adjusts(s, row);
    adjusted += plain ? 0 : 1;
    greedy = greedy && (row.params.greedy() || !plain);
    log_probs = log_probs || row.params.top_logprobs >= 0;
    draws_.push_back(plain ? draw_of(row) : DrawParams());
    log_probs_.push_back(row.params.top_logprobs);
  }
  if (adjusted > adjusted_.capacity()) {
    return choice;
  }
  choice = {.limit = vocab_limit_};
  if (!greedy) {
    choice->draws = draws_;
  }
  if (log_probs) {
    choice->log_probs = log_probs_;
  }
  if (adjusted > 0) {
    TUTTI_RETURN_IF_ERROR(place_adjusted(rank, batch));
    choice->adjusted = adjusts_;
    choice->adjusted_draws = adjusted_draws_;
    choice->tables = adjusted_.tables();
  }
  return choice;
}

Status TokenChooser::place_adjusted(RankContext& rank, const Batch& batch) {
  adjusts_.clear();
  adjusted_draws_.clear();
  for (const BatchSequence& s : batch.sequences) {
    if (s.sample && adjusts(s, rows_.at(s))) {
      adjusted_.keep(s.slot);
    }
  }
  int32_t sampled = 0;
  for (const BatchSequence& s : batch.sequences) {
    if (!s.sample) {
      continue;
    }
    const SampleRow& row = rows_.at(s);
    if (adjusts(s, row)) {
      if (adjusted_.reads_tokens(s.slot, row) && unread(s.slot)) {
        TUTTI_RETURN_IF_ERROR(learn(step_));
      }
      TUTTI_TRY(AdjustParams params, adjusted_.place(rank, s.slot, row, batch.mask_of(s)));
      params.row = sampled;
      adjusts_.push_back(params);
      adjusted_draws_.push_back(draw_of(row));
    }
    ++sampled;
  }
  adjusted_.end_step();
  const int64_t padded = AdjustedRows::padded(ssize(adjusts_), adjusted_.capacity());
  adjusts_.resize(usize(padded));
  adjusted_draws_.resize(usize(padded));
  return ok_status();
}

Status TokenChooser::fetch(RankContext& rank,
                           const Batch& batch,
                           const RankWorker::StepResult& result,
                           ChosenTokens& to) {
  to.rows.clear();
  bool read = false;
  for (const BatchSequence& s : batch.sequences) {
    if (s.sample) {
      const SampleRow& row = rows_.at(s);
      to.rows.push_back({.sequence_id = s.sequence_id,
                         .slot = s.slot,
                         .tenant = rows_.tenant(s.slot),
                         .top_logprobs = row.params.top_logprobs});
      read = read || row.reads_output();
    }
  }
  if (read) {
    unread_.push_back({.step = step_, .chosen = &to});
  }
  const auto copy = [&rank](const HostBuffer& buffer, const TensorView& from) {
    return rank.device.copy_to_host(buffer.data(), from.raw(), from.bytes(), rank.stream);
  };
  TUTTI_RETURN_IF_ERROR(copy(to.tokens, result.chosen));
  if (result.log_probs.defined()) {
    TUTTI_RETURN_IF_ERROR(copy(to.top_ids, result.top_ids));
    TUTTI_RETURN_IF_ERROR(copy(to.log_probs, result.log_probs));
  }
  return to.done->record(rank.stream);
}

Status TokenChooser::on_host(RankContext& rank,
                             const Batch& batch,
                             ConstTensorView logits,
                             std::vector<int32_t>& sampled,
                             StepOutput& output) {
  TUTTI_CHECK_EQ(logits.dim(1), vocab_size_);
  logits_.resize(usize(logits.numel()));
  TUTTI_RETURN_IF_ERROR(
      rank.device.copy_to_host(logits_.data(), logits.raw(), logits.bytes(), rank.stream));
  TUTTI_RETURN_IF_ERROR(rank.stream.synchronize());
  TUTTI_RETURN_IF_ERROR(learn(step_));
  size_t row = 0;
  for (const BatchSequence& sequence : batch.sequences) {
    if (sequence.yields()) {
      output.rows.push_back(read_row(batch, sequence, row, sampled, output));
      row += usize(batch.scores_of(sequence).count) + (sequence.sample ? 1 : 0);
    }
  }
  return ok_status();
}

RowOutput TokenChooser::read_row(const Batch& batch,
                                 const BatchSequence& sequence,
                                 size_t row,
                                 std::vector<int32_t>& sampled,
                                 StepOutput& out) {
  const size_t vocab = usize(vocab_size_);
  const auto logits = [&](int64_t i) {
    return std::span<const float>(logits_).subspan((row + usize(i)) * vocab, vocab);
  };
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
    Result<PromptScore> scored = score(logits(i),
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
        sample(logits(scores), vocab_limit_, wants, scratch_, batch.mask_of(sequence));
    // A row that failed ends; should the next step hold it already, any legal token will do there.
    sampled[usize(sequence.slot)] = token.ok() ? token->token : 0;
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
