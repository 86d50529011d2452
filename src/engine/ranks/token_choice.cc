#include "engine/ranks/token_choice.h"

#include "engine/random.h"

namespace tutti {

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
      output.add_failure(rows[r].sequence_id, unusable_logits());
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

std::optional<RankWorker::Choice> TokenChooser::on_device(const RankContext& rank,
                                                          const Batch& batch) {
  // Where ranks compute on the host, its sampler is faster than the operations and need not copy.
  const bool samples = rank.device.records_graphs();
  bool greedy = true;
  bool log_probs = false;
  draws_.clear();
  log_probs_.clear();
  for (const BatchSequence& s : batch.sequences) {
    if (s.score >= 0) {
      return std::nullopt;
    }
    if (!s.sample) {
      continue;
    }
    const SampleRow& row = rows_.at(s);
    const SamplingParams& params = row.params;
    greedy = greedy && params.greedy();
    log_probs = log_probs || params.top_logprobs >= 0;
    if (s.mask_begin >= 0 || !row.plain() || !(samples || (greedy && !log_probs))) {
      return std::nullopt;
    }
    const uint64_t uniform = uniform_units(params.seed, row.choice, row.output_position);
    draws_.push_back({.temperature = params.temperature,
                      .top_k = params.top_k,
                      .top_p = params.top_p,
                      .min_p = params.min_p,
                      .uniform_low = static_cast<uint32_t>(uniform),
                      .uniform_high = static_cast<uint32_t>(uniform >> 32U)});
    log_probs_.push_back(params.top_logprobs);
  }
  RankWorker::Choice choice{.limit = vocab_limit_};
  if (!greedy) {
    choice.draws = draws_;
  }
  if (log_probs) {
    choice.log_probs = log_probs_;
  }
  return choice;
}

Status TokenChooser::fetch(RankContext& rank,
                           const Batch& batch,
                           const RankWorker::StepResult& result,
                           ChosenTokens& to) {
  to.rows.clear();
  for (const BatchSequence& s : batch.sequences) {
    if (s.sample) {
      to.rows.push_back({.sequence_id = s.sequence_id,
                         .slot = s.slot,
                         .top_logprobs = rows_.at(s).params.top_logprobs});
    }
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
      out.tokens.push_back(std::move(token).value());
      made.token_count = 1;
    } else if (made.failure < 0) {
      fail(std::move(token).status());
    }
  }
  return made;
}

}  // namespace tutti
