#include "sched/scheduler.h"

#include <map>

#include <gtest/gtest.h>

#include "base/checked.h"
#include "engine/scheduler_loop.h"

namespace tutti {
namespace {

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
  SchedulerLoop loop(kSmall, 16);
  loop.add(request(1, 3, 10));
  const Batch* first = loop.schedule();
  ASSERT_NE(first, nullptr);
  ASSERT_EQ(first->sequences.size(), 1U);
  EXPECT_TRUE(first->sequences[0].sample);
  ASSERT_EQ(first->joins.size(), 1U);
  EXPECT_EQ(first->joins[0].slot, first->sequences[0].slot);
  ASSERT_EQ(first->block_updates.size(), 1U);
  EXPECT_EQ(loop.commit().size(), 1U);

  loop.add(request(2, 20, 10));
  const Batch* second = loop.schedule();
  ASSERT_EQ(second->sequences.size(), 2U);
  EXPECT_EQ(second->sequences[0].sequence_id, 1U);
  EXPECT_EQ(second->sequences[0].token_count, 1);
  EXPECT_EQ(second->sequences[0].context_before, 3);
  EXPECT_EQ(second->sequences[0].output_position, 1);
  EXPECT_EQ(second->sequences[1].sequence_id, 2U);
  EXPECT_EQ(second->sequences[1].token_count, 7);
  EXPECT_FALSE(second->sequences[1].sample);
  EXPECT_EQ(second->tokens.size(), 8U);
  EXPECT_EQ(second->positions[1], 0);
  loop.commit();

  const Batch* third = loop.schedule();
  EXPECT_EQ(third->sequences[1].context_before, 7);
  EXPECT_EQ(third->sequences[1].token_count, 7);
  loop.commit();
  const Batch* fourth = loop.schedule();
  EXPECT_EQ(fourth->sequences[1].token_count, 6);
  EXPECT_TRUE(fourth->sequences[1].sample);
}

TEST(Scheduler, AdmissionIsFirstComeFirstServed) {
  SchedulerLoop loop(kSmall, 8);
  loop.add(request(1, 4, 4));
  loop.add(request(2, 28, 4));  // 7 blocks: must wait for 1
  loop.add(request(3, 4, 4));   // would fit, but came later
  const Batch* batch = loop.schedule();
  ASSERT_EQ(batch->sequences.size(), 1U);
  EXPECT_EQ(batch->sequences[0].sequence_id, 1U);
  EXPECT_EQ(loop.scheduler.stats().waiting, 2);
}

TEST(Scheduler, PreemptsTheLastAndKeepsItsTokens) {
  SchedulerLoop loop(kSmall, 4);
  loop.add(request(1, 4, 12));
  loop.add(request(2, 4, 12));
  std::map<uint64_t, int64_t> output;
  bool seen_recompute = false;
  while (const Batch* batch = loop.schedule()) {
    for (const BatchSequence& s : batch->sequences) {
      if (s.sample) {
        EXPECT_EQ(s.output_position, output[s.sequence_id]);
      }
      seen_recompute |= s.sequence_id == 2 && s.context_before == 0 && output[2] > 0;
    }
    for (const News& news : loop.commit()) {
      output[news.id] += ssize(news.tokens.size());
    }
    ASSERT_TRUE(loop.scheduler.check_invariants().ok());
  }
  EXPECT_TRUE(seen_recompute);
  EXPECT_GE(loop.scheduler.stats().preemptions, 1U);
  EXPECT_EQ(output[1], 12);
  EXPECT_EQ(output[2], 12);
  EXPECT_EQ(loop.pool.free(), 4);
}

TEST(Scheduler, APreemptedSequenceKeepsItsTurn) {
  SchedulerConfig config = kSmall;
  config.max_batch_sequences = 2;
  SchedulerLoop loop(config, 4);
  loop.add(request(1, 4, 12));
  loop.add(request(2, 4, 12));
  loop.add(request(3, 2, 1));  // small: would fit as soon as 2 has been preempted
  bool two_ended = false;
  while (const Batch* batch = loop.schedule()) {
    for (const BatchSequence& s : batch->sequences) {
      EXPECT_TRUE(s.sequence_id != 3 || two_ended || batch->sequences[0].sequence_id == 2);
    }
    for (const News& news : loop.commit()) {
      two_ended |= news.id == 2 && news.last();
    }
  }
  EXPECT_GE(loop.scheduler.stats().preemptions, 1U);
}

TEST(Scheduler, CancelDuringAStepKeepsBlocksUntilCommit) {
  SchedulerLoop loop(kSmall, 8);
  loop.add(request(1, 4, 4));
  loop.schedule();
  const std::vector<News> news = loop.cancel(1);
  ASSERT_EQ(news.size(), 1U);
  EXPECT_EQ(news[0].finish, FinishReason::kCancelled);
  EXPECT_EQ(loop.pool.used(), 1);
  EXPECT_EQ(loop.scheduler.stats().running, 0);
  EXPECT_TRUE(loop.cancel(1).empty()) << "it ends once";
  EXPECT_TRUE(loop.commit().empty());
  EXPECT_EQ(loop.pool.used(), 0);
  EXPECT_TRUE(loop.scheduler.idle());
}

TEST(Scheduler, CancelOfAWaitingSequenceIsImmediate) {
  SchedulerLoop loop(kSmall, 8);
  loop.add(request(1, 4, 4));
  const std::vector<News> news = loop.cancel(1);
  ASSERT_EQ(news.size(), 1U);
  EXPECT_EQ(news[0].finish, FinishReason::kCancelled);
  EXPECT_TRUE(loop.scheduler.idle());
}

TEST(Scheduler, StopIdEndsTheSequenceAndIsNotOutput) {
  SchedulerLoop loop(kSmall, 8);
  SequenceRequest r = request(1, 4, 4);
  r.stop_ids = {1};
  loop.add(std::move(r));
  loop.schedule();
  const std::vector<News> news = loop.commit();
  ASSERT_EQ(news.size(), 1U);
  EXPECT_EQ(news[0].finish, FinishReason::kStop);
  EXPECT_TRUE(news[0].tokens.empty());
}

TEST(Scheduler, SeveralTokensPerStepStopAtTheLimit) {
  SchedulerConfig config = kSmall;
  config.run_ahead = false;
  SchedulerLoop loop(config, 8);
  loop.add(request(1, 4, 2));
  loop.schedule();
  StepOutput out = loop.answer();
  out.tokens.resize(3);
  out.rows[0].token_count = 3;
  const std::vector<News> news = loop.commit(out);
  ASSERT_EQ(news.size(), 1U);
  EXPECT_EQ(news[0].tokens.size(), 2U);
  EXPECT_EQ(news[0].finish, FinishReason::kLength);
}

TEST(Scheduler, AnErrorOfOneRowEndsOnlyItsSequence) {
  SchedulerLoop loop(kSmall, 8);
  loop.add(request(1, 3, 4));
  loop.add(request(2, 3, 4));
  const Batch* batch = loop.schedule();
  StepOutput out{.step = batch->step};
  out.add_failure(1, error(StatusCode::kInternal, "NaN"));
  out.add(2, {});
  const std::vector<News> news = loop.commit(out);
  ASSERT_EQ(news.size(), 2U);
  EXPECT_EQ(news[0].status.code(), StatusCode::kInternal);
  EXPECT_TRUE(news[1].status.ok());
  EXPECT_EQ(loop.scheduler.stats().running, 1);
  EXPECT_EQ(loop.pool.used(), 1);
}

TEST(Scheduler, ALostStepEndsItsSequencesOnly) {
  SchedulerLoop loop(kSmall, 8);
  loop.add(request(1, 8, 4));
  loop.add(request(2, 8, 4));
  ASSERT_NE(loop.schedule(), nullptr);  // the budget of 8 is all for sequence 1
  loop.scheduler.fail_step(error(StatusCode::kInternal, "lost"), loop.events);
  const std::vector<News> lost = loop.take();
  ASSERT_EQ(lost.size(), 1U);
  EXPECT_EQ(lost[0].id, 1U);
  EXPECT_EQ(loop.scheduler.stats().waiting, 1);
  loop.scheduler.fail_all(error(StatusCode::kUnavailable, "end"), loop.events);
  EXPECT_EQ(loop.take().size(), 1U);
  EXPECT_TRUE(loop.scheduler.idle());
  EXPECT_EQ(loop.pool.used(), 0);
}

// --- One step ahead ---------------------------------------------------------------------------

TEST(SchedulerAhead, TheNextStepRefersToTheTokenOfThisOne) {
  SchedulerLoop loop(kSmall, 8);
  loop.add(request(1, 4, 3));
  ASSERT_NE(loop.schedule(), nullptr);
  const Batch* second = loop.schedule();
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->tokens, (std::vector<int32_t>{kSampledToken}));
  EXPECT_EQ(second->positions, (std::vector<int32_t>{4}));
  EXPECT_EQ(second->sequences[0].output_position, 1);
  EXPECT_EQ(second->block_updates.size(), 1U) << "position 4 opens a block";
  EXPECT_EQ(loop.commit().at(0).tokens.size(), 1U);
  ASSERT_NE(loop.schedule(), nullptr);
  loop.commit();
  EXPECT_EQ(loop.schedule(), nullptr) << "the third token, in flight, is known to be the last";
  EXPECT_EQ(loop.commit().at(0).finish, FinishReason::kLength);
  EXPECT_EQ(loop.pool.used(), 0);
}

TEST(SchedulerAhead, BlocksOfAnEndedSequenceOutliveTheStepThatStillHasIt) {
  SchedulerLoop loop(kSmall, 8);
  SequenceRequest r = request(1, 4, 10);
  r.stop_ids = {1};
  loop.add(std::move(r));
  loop.schedule();
  ASSERT_NE(loop.schedule(), nullptr);
  const std::vector<News> news = loop.commit();
  ASSERT_EQ(news.size(), 1U);
  EXPECT_EQ(news[0].finish, FinishReason::kStop);
  EXPECT_EQ(loop.pool.used(), 2);
  EXPECT_EQ(loop.schedule(), nullptr);
  EXPECT_TRUE(loop.commit().empty()) << "its row of the second step is dropped";
  EXPECT_EQ(loop.pool.used(), 0);
  EXPECT_TRUE(loop.scheduler.idle());
}

TEST(SchedulerAhead, WhoAwaitsItsTokenSitsOutWhileOthersRunAhead) {
  SchedulerLoop loop(kSmall, 8);
  SequenceRequest r = request(1, 3, 10);
  r.awaits_token = true;
  loop.add(std::move(r));
  loop.add(request(2, 3, 10));
  EXPECT_EQ(loop.schedule()->sequences.size(), 2U);
  const Batch* second = loop.schedule();
  ASSERT_EQ(second->sequences.size(), 1U);
  EXPECT_EQ(second->sequences[0].sequence_id, 2U);
  loop.commit();
  const Batch* third = loop.schedule();
  ASSERT_EQ(third->sequences.size(), 2U);
  EXPECT_EQ(third->tokens, (std::vector<int32_t>{1, kSampledToken}));
}

TEST(SchedulerAhead, AVictimInFlightGivesItsBlocksBackAtCommit) {
  SchedulerLoop loop(kSmall, 4);
  loop.add(request(1, 4, 12));
  loop.add(request(2, 4, 12));
  std::map<uint64_t, int64_t> output;
  while (true) {
    const bool more = loop.schedule() != nullptr;
    if (!more && loop.scheduler.in_flight() == 0) {
      break;
    }
    if (!more || loop.scheduler.in_flight() == 2) {
      for (const News& news : loop.commit()) {
        output[news.id] += ssize(news.tokens.size());
      }
    }
    ASSERT_TRUE(loop.scheduler.check_invariants().ok());
  }
  EXPECT_GE(loop.scheduler.stats().preemptions, 1U);
  EXPECT_EQ(output[1], 12);
  EXPECT_EQ(output[2], 12);
  EXPECT_TRUE(loop.scheduler.idle());
  EXPECT_EQ(loop.pool.free(), 4);
}

// --- Order and deadlines ----------------------------------------------------------------------

std::vector<uint64_t> admitted(const Batch* batch) {
  std::vector<uint64_t> ids;
  for (const BatchSequence& s : batch->sequences) {
    ids.push_back(s.sequence_id);
  }
  return ids;
}

TEST(SchedulerOrder, SmallerPriorityGoesFirstAndWaitingCounts) {
  SchedulerConfig config = kSmall;
  config.max_batch_sequences = 1;
  config.aging_us = 1000;
  SchedulerLoop loop(config, 16);
  const auto add = [&](uint64_t id, int32_t priority, int64_t at_us) {
    loop.now_us = at_us;
    SequenceRequest r = request(id, 1, 1);
    r.priority = priority;
    loop.add(std::move(r));
  };
  add(1, 0, 0);
  add(2, 5, 10);     // order 5010
  add(3, 1, 20);     // 1020
  add(4, 1, 30);     // 1030
  add(5, -2, 3100);  // 1100: came later than all, but they have waited
  add(6, 0, 5011);   // just too late to overtake 2
  std::vector<uint64_t> order;
  while (const Batch* batch = loop.schedule()) {
    order.push_back(batch->sequences.at(0).sequence_id);
    loop.commit();
  }
  EXPECT_EQ(order, (std::vector<uint64_t>{1, 3, 4, 5, 2, 6}));
}

TEST(SchedulerOrder, TheLowestPriorityIsPreemptedFirst) {
  SchedulerLoop loop(kSmall, 4);
  SequenceRequest low = request(1, 4, 8);
  low.priority = 1;
  loop.add(std::move(low));
  loop.add(request(2, 4, 8));
  EXPECT_EQ(admitted(loop.schedule()), (std::vector<uint64_t>{2, 1}));
  loop.commit();
  bool two_ended = false;
  while (const Batch* batch = loop.schedule()) {
    EXPECT_TRUE(two_ended || batch->sequences[0].sequence_id == 2) << "never a victim";
    for (const News& news : loop.commit()) {
      two_ended |= news.id == 2 && news.last();
    }
  }
  EXPECT_TRUE(two_ended);
  EXPECT_GE(loop.scheduler.stats().preemptions, 1U);
}

TEST(SchedulerDeadline, EndsWaitingAndRunningSequences) {
  SchedulerConfig config = kSmall;
  config.max_batch_sequences = 1;
  SchedulerLoop loop(config, 8);
  SequenceRequest running = request(1, 4, 20);
  running.deadline_us = 100;
  SequenceRequest waiting = request(2, 4, 20);
  waiting.deadline_us = 50;
  loop.add(std::move(running));
  loop.add(std::move(waiting));
  loop.schedule();
  EXPECT_TRUE(loop.take().empty());
  loop.commit();
  loop.now_us = 50;
  loop.schedule();
  std::vector<News> news = loop.take();
  ASSERT_EQ(news.size(), 1U);
  EXPECT_EQ(news[0].id, 2U);
  EXPECT_EQ(news[0].status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_NE(news[0].status.message().find("while it waited"), std::string::npos);
  loop.now_us = 100;
  EXPECT_EQ(loop.schedule(), nullptr);
  news = loop.take();
  ASSERT_EQ(news.size(), 1U);
  EXPECT_EQ(news[0].id, 1U);
  EXPECT_GT(loop.pool.used(), 0) << "a step in flight refers to it";
  loop.commit();
  EXPECT_EQ(loop.pool.used(), 0);
  EXPECT_EQ(loop.scheduler.stats().expired, 2U);
}

}  // namespace
}  // namespace tutti
