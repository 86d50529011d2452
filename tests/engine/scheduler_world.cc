#include "engine/scheduler_world.h"

#include <algorithm>

#include "base/checked.h"

namespace tutti {
namespace {

constexpr size_t kMaxLive = 24;

std::optional<BlockPool::PrefixCache> cache(bool on, int64_t block_size, uint64_t seed) {
  return on ? std::optional(BlockPool::PrefixCache{.block_size = block_size, .seed = seed})
            : std::nullopt;
}

}  // namespace

void WorldCounts::add(const WorldCounts& other) {
  steps += other.steps;
  ended += other.ended;
  preemptions += other.preemptions;
  cancels += other.cancels;
  forks += other.forks;
  cache_hits += other.cache_hits;
  evictions += other.evictions;
  deadlines += other.deadlines;
  failures += other.failures;
  scores += other.scores;
  run_ahead += other.run_ahead;
  longest_wait = std::max(longest_wait, other.longest_wait);
}

std::string WorldCounts::text() const {
  return fmt::format(
      "{} steps ({} ahead), {} sequences ended, {} preemptions, {} cancels, {} forks, {} cache "
      "hits, {} evictions, {} deadlines, {} failures, {} scores, longest wait {:.3f} of the bound",
      steps,
      run_ahead,
      ended,
      preemptions,
      cancels,
      forks,
      cache_hits,
      evictions,
      deadlines,
      failures,
      scores,
      longest_wait);
}

SchedulerWorld::SchedulerWorld(uint64_t seed)
    : seed_(seed),
      rng_(seed),
      limits_{.block_size = pick(1, 6),
              .num_blocks = pick(6, 40),
              .max_batch_tokens = pick(1, 24),
              .max_batch_sequences = pick(1, 8),
              .max_context = pick(8, 80),
              .vocab_size = pick(5, 60),
              .max_score_rows = pick(1, 5),
              .max_tokens_per_step = chance(15) ? pick(2, 4) : 1},
      config_{.block_size = limits_.block_size,
              .max_batch_tokens = limits_.max_batch_tokens,
              .max_batch_sequences = limits_.max_batch_sequences,
              .max_context = limits_.max_context,
              .watermark_blocks = pick(0, 3),
              .max_score_rows = limits_.max_score_rows,
              .max_prefill_chunk = chance(35) ? pick(1, 8) : 0,
              .aging_us = pick(0, 2000),
              .run_ahead = limits_.max_tokens_per_step == 1 && chance(85)},
      arrival_percent_(pick(10, 70)),
      cancel_percent_(pick(0, 5)),
      depth_(config_.run_ahead ? 2 : pick(1, 2)),
      pool_(limits_.num_blocks, cache(chance(80), limits_.block_size, seed)),
      scheduler_(config_, pool_),
      runner_(limits_) {
  for (int64_t i = pick(1, 4); i > 0; --i) {
    std::vector<int32_t>& story = stories_.emplace_back();
    for (int64_t j = 0; j < limits_.max_context; ++j) {
      story.push_back(static_cast<int32_t>(pick(0, limits_.vocab_size - 1)));
    }
  }
  if (chance(20)) {  // now and then a row fails, or a whole step
    runner_.set_hook([this](const Batch& batch) {
      if (!chance(2)) {
        return Status();
      }
      for (const BatchSequence& s : batch.sequences) {
        if (const auto it = live_.find(s.sequence_id); it != live_.end()) {
          it->second.lost = true;
        }
      }
      return error(StatusCode::kInternal, "step lost");
    });
    runner_.set_token_hook([this](const SampleRow& /*row*/, FakeModelRunner::Sampled& out) {
      if (chance(1)) {
        out.status = error(StatusCode::kInternal, "row lost");
      }
    });
  }
}

int64_t SchedulerWorld::pick(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(rng_() % static_cast<uint64_t>(high - low + 1));
}

Status SchedulerWorld::run(int64_t steps) {
  while (counts_.steps < steps) {
    TUTTI_RETURN_IF_ERROR(turn(/*arrivals=*/true));
  }
  // What is live needs at most this many; far more than the sum of what any of them may wait.
  int64_t left = max_waiting_steps(config_, pool_.total(), ssize(live_.size()) + 1);
  while (!live_.empty() || scheduler_.in_flight() > 0) {
    if (left-- == 0 || (scheduler_.idle() && !live_.empty() && events_.records.empty())) {
      return broken("{} sequences never end", live_.size());
    }
    TUTTI_RETURN_IF_ERROR(turn(/*arrivals=*/false));
  }
  TUTTI_RETURN_IF_ERROR(check_blocks(thorough_));
  if (!scheduler_.idle() || pool_.used() != 0) {
    return broken("{} blocks are used by nobody", pool_.used());
  }
  return ok_status();
}

Status SchedulerWorld::turn(bool arrivals) {
  now_us_ += pick(0, 300);
  if (arrivals && chance(arrival_percent_) && live_.size() < kMaxLive) {
    arrive();
  }
  TUTTI_RETURN_IF_ERROR(maybe_cancel());
  bool scheduled = false;
  if (scheduler_.in_flight() < depth_) {
    TUTTI_RETURN_IF_ERROR(schedule(scheduled));
    TUTTI_RETURN_IF_ERROR(maybe_cancel());  // between schedule and commit
  }
  if (scheduler_.in_flight() > 0 &&
      (!scheduled || scheduler_.in_flight() == depth_ || chance(20))) {
    TUTTI_RETURN_IF_ERROR(collect());
  }
  return check_blocks(/*thorough=*/chance(3) && thorough_);
}

std::vector<int32_t> SchedulerWorld::make_prompt(int64_t length) {
  const std::vector<int32_t>& story = stories_[usize(pick(0, ssize(stories_.size()) - 1))];
  std::vector<int32_t> prompt(story.begin(), story.begin() + length);
  if (chance(60)) {  // parts from the story somewhere
    for (int64_t i = pick(0, length); i < length; ++i) {
      prompt[usize(i)] = static_cast<int32_t>(pick(0, limits_.vocab_size - 1));
    }
  }
  return prompt;
}

void SchedulerWorld::arrive() {
  const int64_t room = max_sequence_tokens(config_, pool_.total());
  const int64_t prompt = pick(1, std::max<int64_t>(1, room - 1));
  SequenceRequest r;
  r.prompt = make_prompt(prompt);
  r.max_tokens = pick(1, std::max<int64_t>(1, room - prompt));
  if (!check_fits(config_, pool_.total(), prompt, r.max_tokens).ok()) {
    return;
  }
  r.sampling.seed = rng_();
  r.sampling.presence_penalty = chance(25) ? 0.5F : 0.0F;
  if (chance(50)) {
    r.stop_ids = {static_cast<int32_t>(pick(0, limits_.vocab_size - 1))};
  }
  if (chance(15)) {  // never more than a few tokens are forbidden at once
    LogitRules rules;
    rules.min_tokens = pick(0, 6);
    rules.end_ids = r.stop_ids;
    for (int64_t i = pick(1, 3); i > 0; --i) {
      rules.bad_words.push_back({static_cast<int32_t>(pick(0, limits_.vocab_size - 1)),
                                 static_cast<int32_t>(pick(0, limits_.vocab_size - 1))});
    }
    r.rules = std::make_shared<const LogitRules>(std::move(rules));
  }
  r.priority = chance(30) ? static_cast<int32_t>(pick(-3, 3)) : 0;
  r.deadline_us = chance(20) ? now_us_ + pick(1, 20000) : kNoDeadline;
  r.cache_salt = chance(20) ? std::string(1, static_cast<char>('a' + pick(0, 2))) : "";
  r.awaits_token = chance(10);
  const int64_t choices = chance(25) ? pick(2, 4) : 1;
  const int64_t queue_deadline = chance(10) ? now_us_ + pick(1, 5000) : kNoDeadline;
  const uint64_t first = last_id_ + 1;
  for (int64_t i = 0; i < choices; ++i) {
    r.id = ++last_id_;
    r.choice = static_cast<int32_t>(i);
    r.fork_of = i == 0 ? 0 : first;
    r.queue_deadline_us = i == 0 ? queue_deadline : kNoDeadline;
    r.sampling.prompt_logprobs = i == 0 && chance(12) ? 0 : -1;
    add(r);
  }
}

void SchedulerWorld::add(SequenceRequest request) {
  Known known;
  known.order_us = now_us_ + request.priority * config_.aging_us;
  known.request = request;
  known.waiting_since = counts_.steps;
  for (auto& [id, other] : live_) {
    if (precedes(other, known)) {
      ++known.ahead;
    } else {
      ++other.ahead;
      other.waiting_since = counts_.steps;
    }
  }
  live_.emplace(request.id, std::move(known));
  scheduler_.add(std::move(request), now_us_);
}

bool SchedulerWorld::precedes(const Known& a, const Known& b) const {
  return a.order_us != b.order_us ? a.order_us < b.order_us : a.request.id < b.request.id;
}

Status SchedulerWorld::maybe_cancel() {
  if (live_.empty() || !cancels_ || !chance(cancel_percent_)) {
    return ok_status();
  }
  auto it = live_.begin();
  std::advance(it, pick(0, ssize(live_.size()) - 1));
  it->second.cancelled = true;
  ++counts_.cancels;
  scheduler_.cancel(it->first, events_);
  return take_events();
}

Status SchedulerWorld::schedule(bool& scheduled) {
  Batch& batch = batches_[scheduled_ % batches_.size()];
  const bool ahead = scheduler_.in_flight() > 0;
  scheduled = scheduler_.schedule(now_us_, batch, events_);
  TUTTI_RETURN_IF_ERROR(take_events());
  TUTTI_RETURN_IF_ERROR(check_deadlines());
  if (!scheduled) {
    return ok_status();
  }
  ++scheduled_;
  ++counts_.steps;
  counts_.run_ahead += ahead ? 1 : 0;
  TUTTI_RETURN_IF_ERROR(check_step(batch));
  if (saboteur_) {
    saboteur_({.pool = pool_, .scheduler = scheduler_, .runner = runner_, .batch = batch});
  }
  return runner_.submit(batch);
}

/// Nobody whose time has passed is still there.
Status SchedulerWorld::check_deadlines() {
  for (const auto& [id, known] : live_) {
    if (known.request.deadline_us <= now_us_ ||
        (!known.admitted && known.request.queue_deadline_us <= now_us_)) {
      return broken("sequence {} outlives its deadline", id);
    }
  }
  return ok_status();
}

Status SchedulerWorld::check_step(const Batch& batch) {
  int64_t scores = 0;
  for (const BatchSequence& s : batch.sequences) {
    scores += batch.scores_of(s).count;
  }
  if (scores > limits_.max_score_rows) {
    return broken("{} tokens to score in one step", scores);
  }
  for (const BatchSequence& s : batch.sequences) {
    const auto it = live_.find(s.sequence_id);
    if (it == live_.end()) {
      return broken("sequence {} is scheduled after its end", s.sequence_id);
    }
    Known& known = it->second;
    const bool placeholder =
        batch.tokens[usize(s.token_begin + s.token_count - 1)] == kSampledToken;
    if (placeholder && known.request.awaits_token) {
      return broken("sequence {} awaits its token and runs ahead", s.sequence_id);
    }
    if (s.token_count > 1 && config_.max_prefill_chunk > 0 &&
        s.token_count > config_.max_prefill_chunk) {
      return broken("sequence {}: chunk of {}", s.sequence_id, s.token_count);
    }
    if (!known.admitted) {
      TUTTI_RETURN_IF_ERROR(check_admission(known, s));
    }
  }
  return ok_status();
}

Status SchedulerWorld::check_admission(Known& known, const BatchSequence& row) {
  known.admitted = true;
  counts_.cache_hits += row.context_before > 0 ? 1 : 0;
  if (row.context_before >= ssize(known.request.prompt.size())) {
    return broken("sequence {}: a hit covers the whole prompt", row.sequence_id);
  }
  for (const auto& [id, other] : live_) {
    if (!other.admitted && precedes(other, known)) {
      return broken("sequence {} is admitted before {}", row.sequence_id, id);
    }
  }
  const int64_t waited = counts_.steps - known.waiting_since;
  const int64_t bound = max_waiting_steps(config_, pool_.total(), known.ahead);
  counts_.longest_wait =
      std::max(counts_.longest_wait, static_cast<double>(waited) / static_cast<double>(bound));
  if (waited > bound) {
    return broken("sequence {} waited {} steps, the bound is {}", row.sequence_id, waited, bound);
  }
  return ok_status();
}

Status SchedulerWorld::collect() {
  ++collected_;
  const Status status = runner_.collect(output_);
  if (status.ok()) {
    for (const RowOutput& row : output_.rows) {
      if (const auto it = live_.find(row.sequence_id); row.failure >= 0 && it != live_.end()) {
        it->second.lost = true;
      }
    }
    scheduler_.commit(output_, events_);
  } else if (status.message() == "step lost") {
    scheduler_.fail_step(status, events_);
  } else {
    return broken("{}", status.message());
  }
  return take_events();
}

Status SchedulerWorld::take_events() {
  for (const EventRecord& record : events_.records) {
    TUTTI_RETURN_IF_ERROR(on_event(events_.event(record)));
  }
  events_.clear();
  return ok_status();
}

/// Each prompt token but the first is scored once, in order and before any output, if at all.
Status SchedulerWorld::check_scores(Known& known, const SequenceEvent& event) {
  const std::vector<int32_t>& prompt = known.request.prompt;
  const int64_t wanted = known.request.sampling.prompt_logprobs < 0 ? 0 : ssize(prompt.size()) - 1;
  for (const PromptScore& score : event.scores) {
    ++known.scored;
    if (known.scored > wanted || !known.got.empty()) {
      return broken("sequence {}: a score that nobody asked for", known.request.id);
    }
    const PromptScore want =
        fake_score(std::span(prompt).first(usize(known.scored)), prompt[usize(known.scored)]);
    if (score.token.token != want.token.token || score.token.logprob != want.token.logprob ||
        score.rank != want.rank) {
      return broken("sequence {}: wrong score of token {}", known.request.id, known.scored);
    }
    ++counts_.scores;
  }
  if (!event.tokens.empty() && known.scored < wanted) {
    return broken("sequence {} has output before its scores", known.request.id);
  }
  const auto sibling = live_.find(known.request.fork_of);
  if (!event.tokens.empty() && sibling != live_.end()) {
    const SequenceRequest& r = sibling->second.request;
    if (r.sampling.prompt_logprobs >= 0 && sibling->second.scored + 1 < ssize(r.prompt.size())) {
      return broken("sequence {} has output before its sibling's scores", known.request.id);
    }
  }
  return ok_status();
}

Status SchedulerWorld::on_event(const SequenceEvent& event) {
  const auto it = live_.find(event.sequence_id);
  if (it == live_.end()) {
    return broken("sequence {} has news after its end", event.sequence_id);
  }
  Known& known = it->second;
  TUTTI_RETURN_IF_ERROR(check_scores(known, event));
  for (const SampledToken& token : event.tokens) {
    known.got.push_back(token.token);
  }
  if (!event.last()) {
    return ok_status();
  }
  const SequenceRequest& r = known.request;
  const bool expired = event.status.code() == StatusCode::kDeadlineExceeded;
  const bool gone = event.status.code() == StatusCode::kUnavailable;
  const bool failed = !event.status.ok() && !expired && !gone;
  const bool cancelled = event.finish == FinishReason::kCancelled;
  if ((expired && r.deadline_us > now_us_) || (failed && !known.lost) ||
      (cancelled && !known.cancelled) ||
      (gone && (known.admitted || r.queue_deadline_us > now_us_))) {
    return broken("sequence {} ends without a reason: {}", r.id, event.status.message());
  }
  const bool whole = event.status.ok() && !cancelled;
  const int64_t length = whole ? r.max_tokens : ssize(known.got.size());
  if (known.got !=
      fake_output(
          r.prompt, r.sampling, r.choice, length, r.stop_ids, limits_.vocab_size, r.rules)) {
    return broken("sequence {} says other than alone", r.id);
  }
  ++counts_.ended;
  counts_.deadlines += expired || gone ? 1 : 0;
  counts_.failures += failed ? 1 : 0;
  live_.erase(it);
  return ok_status();
}

Status SchedulerWorld::check_blocks(bool thorough) const {
  if (pool_.free() + pool_.used() + pool_.cached() != pool_.total() || pool_.cached() < 0) {
    return broken("{} free + {} used + {} cached of {} blocks",
                  pool_.free(),
                  pool_.used(),
                  pool_.cached(),
                  pool_.total());
  }
  if (thorough) {
    const Status status = scheduler_.check_invariants();
    return status.ok() ? status : broken("{}", status.message());
  }
  return ok_status();
}

WorldCounts SchedulerWorld::counts() const {
  WorldCounts counts = counts_;
  const SchedulerStats stats = scheduler_.stats();
  counts.preemptions = static_cast<int64_t>(stats.preemptions);
  counts.forks = static_cast<int64_t>(stats.forks);
  counts.evictions = static_cast<int64_t>(pool_.evictions());
  return counts;
}

}  // namespace tutti
