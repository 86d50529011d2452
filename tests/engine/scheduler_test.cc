#include "sched/scheduler.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "base/checked.h"
#include "engine/fake_model_runner.h"

namespace tutti {
namespace {

SequenceRequest request(uint64_t id, int64_t prompt, int64_t max_tokens) {
  SequenceRequest r;
  r.id = id;
  for (int64_t i = 0; i < prompt; ++i) {
    r.prompt.push_back(static_cast<int32_t>((static_cast<int64_t>(id) * 7 + i) % 50));
  }
  r.max_tokens = max_tokens;
  return r;
}

/// Answers a batch with token 1 for every row.
StepOutput answer(const Batch& batch) {
  StepOutput out{.step = batch.step, .sequences = {}};
  for (const BatchSequence& s : batch.sequences) {
    if (s.sample.has_value()) {
      SampledToken token;
      token.token = 1;
      out.sequences.push_back({.sequence_id = s.sequence_id, .tokens = {token}, .status = {}});
    }
  }
  return out;
}

const SchedulerConfig kSmall = {.block_size = 4,
                                .max_batch_tokens = 8,
                                .max_batch_sequences = 4,
                                .max_context = 64,
                                .watermark_blocks = 1};

TEST(CheckFits, NamesTheLimitThatIsTooSmall) {
  EXPECT_TRUE(check_fits(kSmall, 16, 32, 32).ok());
  const Status context = check_fits(kSmall, 100, 60, 5);
  EXPECT_EQ(context.code(), StatusCode::kContextLength);
  EXPECT_NE(context.message().find("60"), std::string::npos) << context.message();
  EXPECT_NE(context.message().find("64"), std::string::npos) << context.message();
  const Status memory = check_fits(kSmall, 4, 14, 3);
  EXPECT_EQ(memory.code(), StatusCode::kOutOfMemory);
  EXPECT_NE(memory.message().find("KV memory of 16"), std::string::npos) << memory.message();
  EXPECT_EQ(check_fits(kSmall, 4, 14, INT64_MAX).code(), StatusCode::kContextLength);
}

TEST(Scheduler, DecodesComeFirstAndPrefillTakesTheRest) {
  BlockPool pool(16);
  Scheduler scheduler(kSmall, pool);
  scheduler.add(request(1, 3, 10));
  auto first = scheduler.schedule();
  ASSERT_TRUE(first.has_value());
  ASSERT_EQ(first->sequences.size(), 1U);
  EXPECT_TRUE(first->sequences[0].sample.has_value());
  EXPECT_EQ(scheduler.commit(answer(*first)).size(), 1U);

  scheduler.add(request(2, 20, 10));
  auto second = scheduler.schedule();
  ASSERT_EQ(second->sequences.size(), 2U);
  EXPECT_EQ(second->sequences[0].sequence_id, 1U);
  EXPECT_EQ(second->sequences[0].token_count, 1);
  EXPECT_EQ(second->sequences[0].context_before, 3);
  EXPECT_EQ(second->sequences[1].sequence_id, 2U);
  EXPECT_EQ(second->sequences[1].token_count, 7);
  EXPECT_FALSE(second->sequences[1].sample.has_value());
  EXPECT_EQ(second->tokens.size(), 8U);
  EXPECT_EQ(second->positions[1], 0);
  scheduler.commit(answer(*second));

  auto third = scheduler.schedule();
  EXPECT_EQ(third->sequences[1].context_before, 7);
  EXPECT_EQ(third->sequences[1].token_count, 7);
  scheduler.commit(answer(*third));
  auto fourth = scheduler.schedule();
  EXPECT_EQ(fourth->sequences[1].token_count, 6);
  EXPECT_TRUE(fourth->sequences[1].sample.has_value());
}

TEST(Scheduler, AdmissionIsFirstComeFirstServed) {
  BlockPool pool(8);
  Scheduler scheduler(kSmall, pool);
  scheduler.add(request(1, 4, 4));
  scheduler.add(request(2, 28, 4));  // 7 blocks: must wait for 1
  scheduler.add(request(3, 4, 4));   // would fit, but came later
  const auto batch = scheduler.schedule();
  ASSERT_EQ(batch->sequences.size(), 1U);
  EXPECT_EQ(batch->sequences[0].sequence_id, 1U);
  EXPECT_EQ(scheduler.stats().waiting, 2);
}

TEST(Scheduler, PreemptsTheLastAdmittedAndKeepsItsTokens) {
  BlockPool pool(4);
  Scheduler scheduler(kSmall, pool);
  scheduler.add(request(1, 4, 12));
  scheduler.add(request(2, 4, 12));
  std::map<uint64_t, int64_t> output;
  bool seen_recompute = false;
  while (auto batch = scheduler.schedule()) {
    for (const BatchSequence& s : batch->sequences) {
      if (s.sample.has_value()) {
        EXPECT_EQ(s.sample->output_position, output[s.sequence_id]);
      }
      seen_recompute |= s.sequence_id == 2 && s.context_before == 0 && output[2] > 0;
    }
    for (const SequenceEvent& event : scheduler.commit(answer(*batch))) {
      output[event.sequence_id] += ssize(event.tokens.size());
    }
    ASSERT_TRUE(pool.check_invariants().ok());
  }
  EXPECT_TRUE(seen_recompute);
  EXPECT_GE(scheduler.stats().preemptions, 1U);
  EXPECT_EQ(output[1], 12);
  EXPECT_EQ(output[2], 12);
  EXPECT_EQ(pool.free(), 4);
}

TEST(Scheduler, APreemptedSequenceKeepsItsTurn) {
  BlockPool pool(4);
  SchedulerConfig config = kSmall;
  config.max_batch_sequences = 2;
  Scheduler scheduler(config, pool);
  scheduler.add(request(1, 4, 12));
  scheduler.add(request(2, 4, 12));
  scheduler.add(request(3, 2, 1));  // small: would fit as soon as 2 has been preempted
  bool two_ended = false;
  while (auto batch = scheduler.schedule()) {
    for (const BatchSequence& s : batch->sequences) {
      EXPECT_TRUE(s.sequence_id != 3 || two_ended || batch->sequences[0].sequence_id == 2);
    }
    for (const SequenceEvent& event : scheduler.commit(answer(*batch))) {
      two_ended |= event.sequence_id == 2 && event.last();
    }
  }
  EXPECT_GE(scheduler.stats().preemptions, 1U);
}

TEST(Scheduler, CancelDuringAStepKeepsBlocksUntilCommit) {
  BlockPool pool(8);
  Scheduler scheduler(kSmall, pool);
  scheduler.add(request(1, 4, 4));
  const auto batch = scheduler.schedule();
  EXPECT_FALSE(scheduler.cancel(1).has_value());
  EXPECT_EQ(pool.used(), 1);
  const auto events = scheduler.commit(answer(*batch));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].finish, FinishReason::kCancelled);
  EXPECT_TRUE(events[0].tokens.empty());
  EXPECT_EQ(pool.used(), 0);
  EXPECT_TRUE(scheduler.idle());
  EXPECT_FALSE(scheduler.cancel(1).has_value());
}

TEST(Scheduler, CancelOfAWaitingSequenceIsImmediate) {
  BlockPool pool(8);
  Scheduler scheduler(kSmall, pool);
  scheduler.add(request(1, 4, 4));
  const auto event = scheduler.cancel(1);
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->finish, FinishReason::kCancelled);
  EXPECT_TRUE(scheduler.idle());
}

TEST(Scheduler, StopIdEndsTheSequenceAndIsNotOutput) {
  BlockPool pool(8);
  Scheduler scheduler(kSmall, pool);
  SequenceRequest r = request(1, 4, 4);
  r.stop_ids = {1};
  scheduler.add(std::move(r));
  const auto batch = scheduler.schedule();
  const auto events = scheduler.commit(answer(*batch));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].finish, FinishReason::kStop);
  EXPECT_TRUE(events[0].tokens.empty());
}

TEST(Scheduler, SeveralTokensPerStepStopAtTheLimit) {
  BlockPool pool(8);
  Scheduler scheduler(kSmall, pool);
  scheduler.add(request(1, 4, 2));
  const auto batch = scheduler.schedule();
  StepOutput out = answer(*batch);
  out.sequences[0].tokens.resize(3);
  const auto events = scheduler.commit(out);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].tokens.size(), 2U);
  EXPECT_EQ(events[0].finish, FinishReason::kLength);
}

TEST(Scheduler, AnErrorOfOneRowEndsOnlyItsSequence) {
  BlockPool pool(8);
  Scheduler scheduler(kSmall, pool);
  scheduler.add(request(1, 3, 4));
  scheduler.add(request(2, 3, 4));
  const auto batch = scheduler.schedule();
  StepOutput out = answer(*batch);
  out.sequences[0].status = error(StatusCode::kInternal, "NaN");
  out.sequences[0].tokens.clear();
  const auto events = scheduler.commit(out);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].status.code(), StatusCode::kInternal);
  EXPECT_TRUE(events[1].status.ok());
  EXPECT_EQ(scheduler.stats().running, 1);
  EXPECT_EQ(pool.used(), 1);
}

TEST(Scheduler, ALostStepEndsItsSequencesOnly) {
  BlockPool pool(8);
  Scheduler scheduler(kSmall, pool);
  scheduler.add(request(1, 8, 4));
  scheduler.add(request(2, 8, 4));
  ASSERT_TRUE(scheduler.schedule().has_value());  // the budget of 8 is all for sequence 1
  const auto events = scheduler.fail_step(error(StatusCode::kInternal, "lost"));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].sequence_id, 1U);
  EXPECT_EQ(scheduler.stats().waiting, 1);
  EXPECT_EQ(scheduler.fail_all(error(StatusCode::kUnavailable, "end")).size(), 1U);
  EXPECT_TRUE(scheduler.idle());
  EXPECT_EQ(pool.used(), 0);
}

// --- Properties -------------------------------------------------------------------------------

struct Expected {
  std::vector<int32_t> output;
  std::vector<int32_t> got;
  bool cancelled = false;
};

/// One random world: limits, pool and load; runs `steps` steps, then lets everything end.
class World {
 public:
  explicit World(uint64_t seed)
      : seed_(seed),
        rng_(seed),
        limits_{.block_size = pick(1, 6),
                .num_blocks = pick(4, 40),
                .max_batch_tokens = pick(1, 24),
                .max_batch_sequences = pick(1, 8),
                .max_context = pick(8, 80),
                .vocab_size = pick(5, 60)},
        config_{.block_size = limits_.block_size,
                .max_batch_tokens = limits_.max_batch_tokens,
                .max_batch_sequences = limits_.max_batch_sequences,
                .max_context = limits_.max_context,
                .watermark_blocks = pick(0, 3),
                .max_prefill_chunk = pick(0, 2) == 0 ? pick(1, 8) : 0},
        arrival_percent_(pick(5, 60)),
        pool_(limits_.num_blocks),
        scheduler_(config_, pool_),
        runner_(limits_) {
    runner_.set_tokens_per_step(pick(0, 3) == 0 ? pick(2, 4) : 1);
  }

  void run(int64_t steps) {
    for (int64_t i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) {
      if (pick(0, 99) < arrival_percent_ && live_.size() < 30) {
        arrive();
      }
      maybe_cancel();
      step();
    }
    // A sequence needs at most (tokens of the context) steps of its own, recomputation bounded.
    for (int64_t left = 200000; !scheduler_.idle() && left > 0; --left) {
      if (testing::Test::HasFatalFailure()) {
        return;
      }
      step();
    }
    ASSERT_TRUE(scheduler_.idle()) << "seed=" << seed_;
    ASSERT_TRUE(live_.empty()) << "seed=" << seed_;
    ASSERT_EQ(pool_.free(), pool_.total()) << "seed=" << seed_;
    ASSERT_TRUE(pool_.check_invariants().ok()) << "seed=" << seed_;
  }

  int64_t steps() const { return runner_.steps(); }

  uint64_t preemptions() const { return scheduler_.stats().preemptions; }

  uint64_t ended = 0;
  uint64_t cancelled = 0;

 private:
  int64_t pick(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(rng_() % static_cast<uint64_t>(high - low + 1));
  }

  void arrive() {
    const int64_t room = max_sequence_tokens(config_, pool_.total());
    SequenceRequest r;
    r.id = ++last_id_;
    const int64_t prompt = pick(1, std::max<int64_t>(1, room - 1));
    for (int64_t i = 0; i < prompt; ++i) {
      r.prompt.push_back(static_cast<int32_t>(pick(0, limits_.vocab_size - 1)));
    }
    r.max_tokens = pick(1, std::max<int64_t>(1, room - prompt));
    r.sampling.seed = rng_();
    r.sampling.presence_penalty = pick(0, 3) == 0 ? 0.5F : 0.0F;
    r.choice = static_cast<int32_t>(pick(0, 3));
    if (pick(0, 1) == 0) {
      r.stop_ids = {static_cast<int32_t>(pick(0, limits_.vocab_size - 1))};
    }
    if (!check_fits(config_, pool_.total(), prompt, r.max_tokens).ok()) {
      return;
    }
    live_[r.id].output =
        fake_output(r.prompt, r.sampling, r.choice, r.max_tokens, r.stop_ids, limits_.vocab_size);
    scheduler_.add(std::move(r));
  }

  void maybe_cancel() {
    if (!live_.empty() && pick(0, 99) < 3) {
      auto it = live_.begin();
      std::advance(it, pick(0, ssize(live_.size()) - 1));
      it->second.cancelled = true;
      if (auto event = scheduler_.cancel(it->first)) {
        on_event(*event);
      }
    }
  }

  void step() {
    auto batch = scheduler_.schedule();
    if (!batch.has_value()) {
      return;
    }
    ASSERT_TRUE(runner_.submit(*std::move(batch)).ok());
    maybe_cancel();  // between schedule and commit
    const auto output = runner_.collect();
    ASSERT_TRUE(output.ok()) << output.status().message() << " seed=" << seed_;
    for (const SequenceEvent& event : scheduler_.commit(*output)) {
      on_event(event);
    }
    ASSERT_EQ(pool_.free() + pool_.used() + pool_.cached(), pool_.total()) << "seed=" << seed_;
  }

  void on_event(const SequenceEvent& event) {
    const auto it = live_.find(event.sequence_id);
    ASSERT_NE(it, live_.end()) << "event after the end, seed=" << seed_;
    Expected& expected = it->second;
    for (const SampledToken& token : event.tokens) {
      expected.got.push_back(token.token);
    }
    if (!event.last()) {
      return;
    }
    ASSERT_TRUE(event.status.ok());
    if (event.finish == FinishReason::kCancelled) {
      ASSERT_TRUE(expected.cancelled) << "seed=" << seed_;
      ASSERT_LE(expected.got.size(), expected.output.size());
      expected.output.resize(expected.got.size());
      ++cancelled;
    }
    ASSERT_EQ(expected.got, expected.output) << "seed=" << seed_ << " id=" << event.sequence_id;
    ++ended;
    live_.erase(it);
  }

  const uint64_t seed_;
  std::mt19937_64 rng_;
  const RunnerLimits limits_;
  const SchedulerConfig config_;
  const int64_t arrival_percent_;
  BlockPool pool_;
  Scheduler scheduler_;
  FakeModelRunner runner_;
  std::map<uint64_t, Expected> live_;
  uint64_t last_id_ = 0;
};

TEST(SchedulerProperty, EveryRequestEndsAsIfItRanAlone) {
  constexpr int64_t kSteps = 150000;
  int64_t steps = 0;
  uint64_t preemptions = 0;
  uint64_t ended = 0;
  uint64_t cancelled = 0;
  uint64_t seed = 1;
  for (; steps < kSteps; ++seed) {
    World world(seed);
    world.run(400);
    ASSERT_FALSE(HasFatalFailure()) << "seed=" << seed;
    steps += world.steps();
    preemptions += world.preemptions();
    ended += world.ended;
    cancelled += world.cancelled;
  }
  RecordProperty("steps", static_cast<int>(steps));
  printf("seeds 1-%d: %d steps, %d sequences ended, %d cancelled, %d preemptions\n",
         static_cast<int>(seed - 1),
         static_cast<int>(steps),
         static_cast<int>(ended),
         static_cast<int>(cancelled),
         static_cast<int>(preemptions));
  // The load must have reached what it is there to test.
  EXPECT_GT(preemptions, 100U);
  EXPECT_GT(cancelled, 100U);
  EXPECT_GT(ended, 5000U);
}

}  // namespace
}  // namespace tutti
