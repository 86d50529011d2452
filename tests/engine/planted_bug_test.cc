// The checkers must be able to fail: bugs planted through the components' private parts are
// reported.
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/checked.h"
#include "engine/inbox.h"
#include "engine/scheduler_world.h"

namespace tutti {

struct PrefixIndexPeer {
  /// As if erase() had left the block in the table: it is found by what it used to hold. False if
  /// it never held anything, or still does.
  static bool forget_to_erase(PrefixIndex& index, int32_t block) {
    const PrefixIndex::Item& item = index.item(block);
    if (item.listed || item.content != 0 || item.parent == 0) {
      return false;
    }
    size_t slot = index.home(item.hash);
    while (index.table_[slot].block >= 0) {
      slot = (slot + 1) & index.mask_;
    }
    index.table_[slot] = {.block = block, .hash = static_cast<uint32_t>(item.hash)};
    return true;
  }
};

struct BlockPoolPeer {
  /// As if a release had been forgotten: one reference more than there are holders.
  static bool leak(BlockPool& pool, int32_t block) {
    ++pool.blocks_[usize(block)].refs;
    return true;
  }

  static PrefixIndex* index(BlockPool& pool) { return pool.has_cache() ? &*pool.index_ : nullptr; }
};

struct SchedulerPeer {
  /// As if a preemption had not put its victim back into the queue.
  static bool lose_waiting(Scheduler& scheduler) {
    for (SchedulerEntry* entry : scheduler.waiting_.items()) {
      if (entry->cached_prompt_tokens >= 0) {  // was admitted before
        scheduler.deadlines_.erase(entry);
        scheduler.waiting_.erase(entry);
        return true;
      }
    }
    return false;
  }
};

struct InboxPeer {
  /// As if submit() had not notified.
  static void submit_silently(Inbox& inbox, SequenceRequest request) {
    const std::lock_guard lock(inbox.mutex_);
    inbox.work_.submissions.push_back({.request = std::move(request), .sink = nullptr});
  }
};

namespace {

using Parts = SchedulerWorld::Parts;

/// A failed check of the production code is a report too.
Status run_catching(SchedulerWorld& world) {
  const CheckHandler old =
      set_check_handler([](const std::string& message) { throw std::runtime_error(message); });
  Status status;
  try {
    status = world.run(500);
  } catch (const std::runtime_error& failed) {
    status = error(StatusCode::kInternal, "{}", failed.what());
  }
  set_check_handler(old);
  return status;
}

/// The reports of the worlds in which the bug could be planted, once each, at a random step.
std::vector<std::string> reports(const std::function<bool(const Parts&)>& plant,
                                 int worlds,
                                 bool thorough) {
  std::vector<std::string> out;
  for (uint64_t seed = 1; seed < 400 && ssize(out.size()) < worlds; ++seed) {
    SchedulerWorld world(seed);
    world.set_thorough(thorough);
    world.set_cancels(false);  // they would end a lost sequence all the same
    bool planted = false;
    uint64_t step = 0;
    world.set_saboteur([&](const Parts& parts) {
      if (!planted && ++step > 50 + seed % 100) {
        planted = plant(parts);
      }
    });
    const Status status = run_catching(world);
    if (planted) {
      out.push_back(status.message());
      printf("  %s\n", status.ok() ? "NOT REPORTED" : status.message().c_str());
    } else {
      EXPECT_TRUE(status.ok()) << status.message();
    }
  }
  return out;
}

TEST(PlantedBug, ALeakedBlockIsReported) {
  const auto found = reports(
      [](const Parts& parts) {
        return !parts.batch.blocks.empty() &&
               BlockPoolPeer::leak(parts.pool, parts.batch.blocks.back());
      },
      10,
      /*thorough=*/true);
  ASSERT_EQ(found.size(), 10U);
  for (const std::string& report : found) {
    EXPECT_TRUE(report.find("references") != std::string::npos ||
                report.find("check failed") != std::string::npos)
        << report;
  }
}

// The sampled consistency checks of the index would see it too; here the outputs must. A hit on
// what a block used to hold gives a sequence somebody else's context, if anybody asks for that
// content.
TEST(PlantedBug, AStaleHashIsReported) {
  int planted = 0;
  int reported = 0;
  int by_output = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SchedulerWorld world(seed);
    world.set_thorough(false);
    int here = 0;
    world.set_saboteur([&](const Parts& parts) {
      PrefixIndex* index = BlockPoolPeer::index(parts.pool);
      for (const int32_t block : parts.batch.blocks) {
        // Not too many: the table must keep empty places.
        here += index != nullptr && here < parts.pool.total() / 2 &&
                PrefixIndexPeer::forget_to_erase(*index, block);
      }
    });
    const Status status = run_catching(world);
    planted += here > 0 ? 1 : 0;
    reported += status.ok() ? 0 : 1;
    const bool output = status.message().find("says other than alone") != std::string::npos ||
                        status.message().find("slot") != std::string::npos ||
                        status.message().find("written") != std::string::npos;
    by_output += output ? 1 : 0;
    EXPECT_TRUE(status.ok() || here > 0) << status.message();
  }
  printf("  planted in %d worlds, reported in %d, by what sequences said or read in %d\n",
         planted,
         reported,
         by_output);
  EXPECT_GT(planted, 50);
  EXPECT_GT(by_output, 20);
}

TEST(PlantedBug, APreemptedSequenceThatIsNeverWokenIsReported) {
  const auto found =
      reports([](const Parts& parts) { return SchedulerPeer::lose_waiting(parts.scheduler); },
              20,
              /*thorough=*/false);
  ASSERT_EQ(found.size(), 20U);
  for (const std::string& report : found) {
    EXPECT_TRUE(report.find("never end") != std::string::npos ||
                report.find("outlives its deadline") != std::string::npos)
        << report;
  }
}

/// Whether a thread that waits for work hears of what `submit` brings.
template <class Submit>
bool wakes(Submit submit) {
  Inbox inbox(8);
  std::atomic<bool> waiting = false;
  std::atomic<bool> woken = false;
  std::thread engine([&] {
    waiting = true;
    inbox.take(/*wait=*/true);
    woken = true;
  });
  while (!waiting) {
    std::this_thread::yield();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // it sleeps now, most likely
  submit(inbox);
  for (int i = 0; i < 40 && !woken; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const bool heard = woken;
  inbox.stop();
  engine.join();
  return heard;
}

TEST(PlantedBug, ALostWakeUpOfTheEngineIsReported) {
  const auto one = [] {
    SequenceRequest request;
    request.prompt = {1};
    return request;
  };
  EXPECT_TRUE(wakes([&](Inbox& inbox) { EXPECT_TRUE(inbox.submit({one()}, nullptr).ok()); }));
  EXPECT_TRUE(wakes([&](Inbox& inbox) { inbox.cancel(1); }));
  EXPECT_FALSE(wakes([&](Inbox& inbox) { InboxPeer::submit_silently(inbox, one()); }));
}

}  // namespace
}  // namespace tutti
