#include "engine/generation.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "base/log.h"
#include "base/units.h"

namespace tutti {

void GenerationTable::add(uint64_t id,
                          std::shared_ptr<Generation> generation,
                          int64_t prompt_tokens) {
  const std::lock_guard lock(mutex_);
  live_.emplace(id, std::move(generation));
  counters_.prompt_tokens += static_cast<uint64_t>(prompt_tokens);
}

void GenerationTable::withdraw(uint64_t id, int64_t prompt_tokens) {
  const std::lock_guard lock(mutex_);
  live_.erase(id);
  counters_.prompt_tokens -= static_cast<uint64_t>(prompt_tokens);
}

void GenerationTable::end(uint64_t id, End how) {
  const std::lock_guard lock(mutex_);
  live_.erase(id);
  switch (how) {
    case End::kFinished:
      ++counters_.requests_finished;
      break;
    case End::kCancelled:
      ++counters_.requests_cancelled;
      break;
    case End::kFailed:
      ++counters_.requests_failed;
      break;
  }
}

std::shared_ptr<Generation> GenerationTable::find(uint64_t id) const {
  const std::lock_guard lock(mutex_);
  const auto it = live_.find(id);
  return it == live_.end() ? nullptr : it->second;
}

void GenerationTable::fill(EngineStats& stats) const {
  const std::lock_guard lock(mutex_);
  stats.requests_finished = counters_.requests_finished;
  stats.requests_cancelled = counters_.requests_cancelled;
  stats.requests_failed = counters_.requests_failed;
  stats.prompt_tokens = counters_.prompt_tokens;
}

int32_t prompt_logprobs_wanted(const GenerationRequest& request) {
  return std::max(request.sampling.prompt_logprobs,
                  request.echo ? request.sampling.top_logprobs : -1);
}

namespace {

/// All of it at once, as a stream of these tokens would show it.
std::string text_of(const std::vector<int32_t>& tokens, const TokenText& text, bool skip_special) {
  const std::unique_ptr<TextStream> stream = text.open(skip_special);
  std::string out;
  for (const int32_t token : tokens) {
    out += stream->push(token);
  }
  return out + stream->finish();
}

std::vector<TokenLogprobs> with_top(std::vector<TokenLogprobs> tokens, int32_t top) {
  for (TokenLogprobs& token : tokens) {
    token.top.resize(std::min(token.top.size(), usize(top)));
  }
  return tokens;
}

}  // namespace

Generation::Generation(const Parts& parts,
                       const GenerationRequest& request,
                       uint64_t first_id,
                       std::shared_ptr<GenerationSink> sink)
    : parts_(parts),
      first_id_(first_id),
      request_id_(request.request_id),
      sink_(std::move(sink)),
      unfinished_(request.n),
      only_echo_(request.echo && request.max_tokens == 0) {
  usage_.prompt_tokens = ssize(request.prompt.size());
  for (int32_t i = 0; i < request.n; ++i) {
    choices_.push_back({.stream = ChoiceStream(request, i, parts_.text)});
  }
  if (!request.echo && request.sampling.prompt_logprobs < 0) {
    return;
  }
  Beginning& begin = beginning_.emplace(Beginning{});
  begin.echo = request.echo;
  begin.echo_top = request.echo ? request.sampling.top_logprobs : -1;
  begin.prompt_top = request.sampling.prompt_logprobs;
  const TokenText* text = parts_.text;
  if (request.echo_text.has_value()) {
    begin.text = *request.echo_text;
  } else if (request.echo && text != nullptr) {
    begin.text = text_of(request.prompt, *text, request.skip_special_tokens);
  }
  TokenLogprobs first = choices_[0].stream.logprobs_of({.token = request.prompt[0], .top = {}});
  first.first = true;
  begin.prompt.push_back(std::move(first));
  begin_choices();
}

void Generation::add_scores(const SequenceEvent& event) {
  for (const PromptScore& score : event.scores) {
    TokenLogprobs token = choices_[0].stream.logprobs_of(score.token);
    token.rank = score.rank;
    beginning_->prompt.push_back(std::move(token));
  }
  begin_choices();
}

/// Once all that comes before the output is known.
void Generation::begin_choices() {
  Beginning& begin = *beginning_;
  const bool scored = begin.echo_top >= 0 || begin.prompt_top >= 0;
  if (scored && ssize(begin.prompt.size()) < usage_.prompt_tokens) {
    return;
  }
  for (Choice& choice : choices_) {
    GenerationDelta delta;
    if (begin.echo) {
      add_text(delta.events, OutputEvent::Kind::kText, begin.text);
    }
    if (begin.echo_top >= 0) {
      delta.logprobs = with_top(begin.prompt, begin.echo_top);
    }
    if (begin.prompt_top >= 0) {
      delta.prompt_logprobs = with_top(begin.prompt, begin.prompt_top);
    }
    choice.stream.begin(std::move(delta));
  }
  beginning_.reset();
}

void Generation::on_event(const SequenceEvent& event) {
  const uint64_t index = event.sequence_id - first_id_;
  TUTTI_CHECK_LT(index, choices_.size());
  Choice& choice = choices_[index];
  if (sink_ == nullptr || choice.finished) {
    return;  // late news of a sequence that was told to stop
  }
  if (!event.status.ok()) {
    fail(event.status);
  } else if (event.finish == FinishReason::kCancelled) {
    fail(error(StatusCode::kCancelled, "the request was cancelled"));
  } else {
    add_tokens(choice, event);
  }
}

void Generation::add_tokens(Choice& choice, const SequenceEvent& event) {
  if (event.sequence_id == first_id_) {  // the prompt counts once, and so does what was cached
    usage_.cached_prompt_tokens = event.cached_prompt_tokens;
  }
  if (!event.scores.empty()) {
    add_scores(event);
  }
  for (const SampledToken& token : event.tokens) {
    if (only_echo_) {
      break;
    }
    if (usage_.completion_tokens++ == 0) {
      first_token_ = Clock::now();
    }
    usage_.reasoning_tokens += choice.stream.reasoning() ? 1 : 0;
    if (choice.stream.push(token)) {
      if (!event.last()) {
        parts_.engine->cancel(event.sequence_id);  // it would go on past its stop string
      }
      finish_choice(choice, FinishReason::kStop);
      return;
    }
  }
  if (event.finish.has_value()) {
    finish_choice(choice, only_echo_ ? FinishReason::kLength : *event.finish);
  } else if (choice.stream.ready()) {
    sink_->on_delta(choice.stream.take());
  }
}

void Generation::finish_choice(Choice& choice, FinishReason reason) {
  choice.finished = true;
  last_reason_ = reason;
  choice.stream.finish(reason);
  usage_.reasoning_tokens += choice.stream.unopened_reasoning_tokens();
  sink_->on_delta(choice.stream.take());
  if (--unfinished_ > 0) {
    return;
  }
  log_end(choices_.size() == 1 ? to_string(last_reason_) : "all choices");
  const auto sink = std::exchange(sink_, nullptr);
  parts_.table->end(first_id_, GenerationTable::End::kFinished);
  sink->on_done(usage_);
}

void Generation::fail(const Status& status) {
  const bool cancelled = status.code() == StatusCode::kCancelled;
  log_end(cancelled ? "cancelled" : status.message().c_str());
  const auto sink = std::exchange(sink_, nullptr);
  request_cancel();  // the other choices
  parts_.table->end(first_id_,
                    cancelled ? GenerationTable::End::kCancelled : GenerationTable::End::kFailed);
  sink->on_error(status);
}

void Generation::request_cancel() {
  if (!cancel_requested_.exchange(true)) {
    for (uint64_t i = 0; i < choices_.size(); ++i) {
      parts_.engine->cancel(first_id_ + i);
    }
  }
}

void Generation::log_end(const char* outcome) const {
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  const auto end = Clock::now();
  const int64_t tokens = usage_.completion_tokens;
  if (tokens == 0) {
    log_at(LogLevel::kDebug,
           "request {}: {} prompt tokens, no output, {}: {}",
           request_id_,
           usage_.prompt_tokens,
           format_seconds(seconds(end - start_)),
           outcome);
    return;
  }
  // The first token belongs to the prompt's time.
  const double decode = seconds(end - first_token_);
  const double rate = tokens > 1 && decode > 0.0 ? static_cast<double>(tokens - 1) / decode : 0.0;
  log_at(LogLevel::kDebug,
         "request {}: {} prompt + {} output tokens, first after {}, then {:.1f} tok/s, {} in all: "
         "{}",
         request_id_,
         usage_.prompt_tokens,
         tokens,
         format_seconds(seconds(first_token_ - start_)),
         rate,
         format_seconds(seconds(end - start_)),
         outcome);
}

}  // namespace tutti
