// Blocks found again by what they hold: in the pool, and through the scheduler.
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "base/checked.h"
#include "engine/scheduler_loop.h"
#include "sched/prefix_index.h"

namespace tutti {
namespace {

using Tokens = std::vector<int32_t>;

TEST(PrefixIndex, FindsExactlyWhatWasInsertedUnderRandomUse) {
  const unsigned seed = 20250103;
  std::mt19937 rng(seed);
  constexpr int kBlocks = 29;
  PrefixIndex index(kBlocks, 2, rng());

  struct Held {
    ContentId parent = 0;
    Tokens tokens;
    ContentId content = 0;
  };

  std::vector<std::optional<Held>> held(kBlocks);
  std::vector<ContentId> names = {kUnsaltedRoot};
  int64_t found = 0;
  for (int step = 0; step < 30000; ++step) {
    const auto block = static_cast<int32_t>(rng() % kBlocks);
    const ContentId parent = names[rng() % names.size()];
    const Tokens tokens = {static_cast<int32_t>(rng() % 3), static_cast<int32_t>(rng() % 3)};
    int32_t want = -1;
    for (int32_t b = 0; b < kBlocks; ++b) {
      const auto& h = held[usize(b)];
      if (h && index.contains(b) && h->parent == parent && h->tokens == tokens) {
        ASSERT_EQ(want, -1) << "one content, two blocks, seed=" << seed;
        want = b;
      }
    }
    ASSERT_EQ(index.find(parent, tokens), want) << "seed=" << seed;
    found += want >= 0 ? 1 : 0;
    if (held[usize(block)]) {
      index.erase(block);
      held[usize(block)].reset();
    } else {
      const ContentId content = index.insert(block, parent, tokens);
      if (want >= 0) {
        ASSERT_EQ(content, held[usize(want)]->content);
      } else {
        ASSERT_EQ(std::count(names.begin(), names.end(), content), 0) << "names are never reused";
        names.push_back(content);
        if (names.size() > 12) {
          names.erase(names.begin() + 1);
        }
      }
      held[usize(block)] = {.parent = parent, .tokens = tokens, .content = content};
    }
    if (step % 100 == 0) {
      ASSERT_TRUE(index.consistent()) << "seed=" << seed;
    }
  }
  EXPECT_GT(found, 1000);
}

TEST(PrefixIndex, SaltsAreForgottenWithTheirLastBlock) {
  PrefixIndex index(4, 1, 0);
  const ContentId a = index.hold_root("a");
  EXPECT_EQ(index.hold_root("a"), a);
  EXPECT_NE(index.hold_root("b"), a);
  EXPECT_EQ(index.hold_root(""), kUnsaltedRoot);
  index.insert(0, a, Tokens{7});
  EXPECT_EQ(index.find(a, Tokens{7}), 0);
  EXPECT_EQ(index.find(index.hold_root("b"), Tokens{7}), -1);
  EXPECT_EQ(index.find(kUnsaltedRoot, Tokens{7}), -1);
  index.drop_root(a);
  index.drop_root(a);
  EXPECT_EQ(index.salts(), 2) << "block 0 still begins with it";
  index.erase(0);
  EXPECT_EQ(index.salts(), 1);
  EXPECT_NE(index.hold_root("a"), a) << "a name that is gone finds nothing";
}

TEST(BlockPoolCache, EvictsWhatWasReleasedLongestAgoAndChildrenBeforeParents) {
  BlockPool pool(4, BlockPool::PrefixCache{.block_size = 1});
  Tokens a;
  Tokens b;
  ASSERT_TRUE(pool.allocate(2, a));
  ASSERT_TRUE(pool.allocate(2, b));
  pool.set_content(a[0], -1, kUnsaltedRoot, Tokens{1});
  pool.set_content(a[1], a[0], kUnsaltedRoot, Tokens{2});
  pool.set_content(b[0], -1, kUnsaltedRoot, Tokens{3});
  pool.set_content(b[1], b[0], kUnsaltedRoot, Tokens{4});
  pool.release(b);
  pool.release(a);
  EXPECT_EQ(pool.cached(), 4);
  EXPECT_EQ(pool.free(), 0);
  Tokens one;
  for (const int32_t want : {b[1], b[0], a[1]}) {
    one.clear();
    ASSERT_TRUE(pool.allocate(1, one));
    EXPECT_EQ(one[0], want);
    ASSERT_TRUE(pool.check_invariants().ok()) << pool.check_invariants().message();
  }
  Tokens found;
  pool.match(kUnsaltedRoot, Tokens{1, 2}, 2, found);
  EXPECT_EQ(found, (Tokens{a[0]}));
  EXPECT_EQ(pool.evictions(), 3U);
}

TEST(BlockPoolCache, WhatFollowsDoubtfulContentIsNotFound) {
  BlockPool pool(3, BlockPool::PrefixCache{.block_size = 1});
  Tokens a;
  ASSERT_TRUE(pool.allocate(3, a));
  pool.set_content(a[0], -1, kUnsaltedRoot, Tokens{1});
  pool.forget_content(a);
  pool.set_content(a[1], a[0], kUnsaltedRoot, Tokens{2});
  Tokens found;
  pool.match(kUnsaltedRoot, Tokens{1, 2}, 2, found);
  EXPECT_TRUE(found.empty());
  pool.release(a);
  EXPECT_EQ(pool.free(), 3);
}

const SchedulerConfig kConfig = {
    .block_size = 4, .max_batch_tokens = 64, .max_batch_sequences = 8, .max_context = 64};

SequenceRequest with_prompt(uint64_t id, Tokens prompt, int64_t max_tokens = 1) {
  SequenceRequest r;
  r.id = id;
  r.prompt = std::move(prompt);
  r.max_tokens = max_tokens;
  return r;
}

Tokens counting(int32_t count) {
  Tokens tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

/// Runs everything; the last news of each sequence, in order of their ends.
std::vector<News> run(SchedulerLoop& loop) {
  std::vector<News> ends;
  while (loop.schedule() != nullptr) {
    for (const News& news : loop.commit()) {
      if (news.last()) {
        ends.push_back(news);
      }
    }
    EXPECT_TRUE(loop.scheduler.check_invariants().ok())
        << loop.scheduler.check_invariants().message();
  }
  return ends;
}

TEST(PrefixCache, AHitSkipsWholeBlocksButNeverTheLastToken) {
  SchedulerLoop loop(kConfig, 16, /*cache=*/true);
  loop.add(with_prompt(1, counting(12)));
  EXPECT_EQ(run(loop).at(0).cached, 0);
  EXPECT_EQ(loop.pool.cached(), 3);
  loop.add(with_prompt(2, counting(12)));  // the same: its last block is computed again
  const Batch* batch = loop.schedule();
  EXPECT_EQ(batch->sequences[0].context_before, 8);
  EXPECT_EQ(batch->sequences[0].token_count, 4);
  EXPECT_EQ(loop.commit().at(0).cached, 8);
  loop.add(with_prompt(3, counting(15)));
  EXPECT_EQ(run(loop).at(0).cached, 12);
  Tokens other = counting(15);
  other[5] = 99;
  loop.add(with_prompt(4, other));
  EXPECT_EQ(run(loop).at(0).cached, 4);
  EXPECT_EQ(loop.scheduler.stats().prefix_hits, 24U);
  EXPECT_EQ(loop.scheduler.stats().prefix_queries, 54U);
}

TEST(PrefixCache, GeneratedBlocksAreFoundToo) {
  SchedulerLoop loop(kConfig, 16, /*cache=*/true);
  loop.add(with_prompt(1, counting(3), 6));  // 3 + 6 ones, of which the last is never computed
  run(loop);
  Tokens next = counting(3);
  next.insert(next.end(), 6, 1);
  next.push_back(7);
  loop.add(with_prompt(2, next));
  EXPECT_EQ(run(loop).at(0).cached, 8);
}

TEST(PrefixCache, SaltsDoNotShare) {
  SchedulerLoop loop(kConfig, 32, /*cache=*/true);
  const auto cached_with = [&](uint64_t id, const char* salt) {
    SequenceRequest r = with_prompt(id, counting(12));
    r.cache_salt = salt;
    loop.add(std::move(r));
    return run(loop).at(0).cached;
  };
  EXPECT_EQ(cached_with(1, ""), 0);
  EXPECT_EQ(cached_with(2, "alice"), 0);
  EXPECT_EQ(cached_with(3, "bob"), 0);
  EXPECT_EQ(cached_with(4, "alice"), 8);
  EXPECT_EQ(cached_with(5, ""), 8);
  EXPECT_EQ(loop.pool.salts(), 2);
}

TEST(PrefixCache, ChoicesShareTheirPromptWithAndWithoutTheCache) {
  for (const bool cache : {false, true}) {
    SchedulerLoop loop(kConfig, 32, cache);
    for (uint64_t id = 1; id <= 4; ++id) {
      SequenceRequest r = with_prompt(id, counting(18), 3);
      r.fork_of = id == 1 ? 0 : 1;
      r.choice = static_cast<int32_t>(id) - 1;
      loop.add(std::move(r));
    }
    const Batch* first = loop.schedule();
    EXPECT_EQ(first->sequences.size(), 1U) << "the others wait for the prompt";
    loop.commit();
    const Batch* second = loop.schedule();
    ASSERT_EQ(second->sequences.size(), 4U);
    for (size_t i = 1; i < 4; ++i) {
      EXPECT_EQ(second->sequences[i].context_before, 16);
      EXPECT_EQ(second->sequences[i].token_count, 2) << "the part of a block is computed again";
    }
    EXPECT_EQ(loop.pool.used(), 4 + 4) << "four shared blocks, one of its own each";
    EXPECT_EQ(loop.scheduler.stats().forks, 3U);
    loop.commit();
    EXPECT_EQ(run(loop).size(), 4U);
    EXPECT_EQ(loop.pool.used(), 0);
  }
}

TEST(PrefixCache, APreemptedSequenceFindsItsBlocksAgain) {
  SchedulerConfig config = kConfig;
  SchedulerLoop loop(config, 7, /*cache=*/true);
  loop.add(with_prompt(1, counting(8), 8));
  Tokens other = counting(12);
  other[0] = 50;
  loop.add(with_prompt(2, other, 8));
  bool resumed = false;
  while (const Batch* batch = loop.schedule()) {
    for (const BatchSequence& s : batch->sequences) {
      resumed |=
          s.sequence_id == 2 && s.output_position > 0 && s.token_count > 1 && s.context_before > 0;
    }
    loop.commit();
    ASSERT_TRUE(loop.scheduler.check_invariants().ok());
  }
  EXPECT_GE(loop.scheduler.stats().preemptions, 1U);
  EXPECT_TRUE(resumed) << "not everything was computed again";
}

TEST(PrefixCache, ARowThatFailedLeavesNothingToBeFound) {
  SchedulerLoop loop(kConfig, 16, /*cache=*/true);
  loop.add(with_prompt(1, counting(12)));
  const Batch* batch = loop.schedule();
  StepOutput out{.step = batch->step};
  out.add_failure(1, error(StatusCode::kInternal, "NaN"));
  loop.commit(out);
  EXPECT_EQ(loop.pool.cached(), 0);
  loop.add(with_prompt(2, counting(12)));
  EXPECT_EQ(run(loop).at(0).cached, 0);
}

}  // namespace
}  // namespace tutti
