// How requests end other than by themselves: cancel, overload, failures, shutdown.
#include <ctime>
#include <thread>

#include <gtest/gtest.h>

#include "engine/text_engine_fakes.h"

namespace tutti {
namespace {

TEST(TextEngineEnd, CancelEndsWithCancelled) {
  Harness h({}, std::vector<int32_t>(100, 1));
  h.runner->set_hook([&](const Batch&) { return h.gate.pass(); });
  h.start();
  const auto sink = std::make_shared<RecordingSink>();
  const auto id = h.engine->generate(prompt(), sink);
  ASSERT_TRUE(id.ok());
  h.gate.wait_for_step();
  h.engine->cancel(*id);
  h.engine->cancel(*id);
  h.engine->cancel(*id + 1000);
  h.gate.open();
  ASSERT_TRUE(sink->wait());
  EXPECT_EQ(sink->status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(sink->well_behaved());
  h.engine->cancel(*id);
  EXPECT_EQ(h.engine->stats().requests_cancelled, 1U);
  EXPECT_TRUE(h.engine->health().ok());
}

TEST(TextEngineEnd, OverloadIsRefusedAndNothingElseIsHarmed) {
  Harness h({}, {1, 2});
  h.runner->set_hook([&](const Batch&) { return h.gate.pass(); });
  h.parts.engine.max_waiting = 3;
  h.start();
  auto running = std::make_shared<RecordingSink>();
  ASSERT_TRUE(h.engine->generate(prompt(), running).ok());
  h.gate.wait_for_step();
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 3; ++i) {
    sinks.push_back(std::make_shared<RecordingSink>());
    ASSERT_TRUE(h.engine->generate(prompt(), sinks.back()).ok());
  }
  const auto refused = h.engine->generate(prompt(), std::make_shared<RecordingSink>());
  EXPECT_EQ(refused.status().code(), StatusCode::kOverloaded);
  h.gate.open();
  for (const auto& sink : sinks) {
    ASSERT_TRUE(sink->wait());
    EXPECT_TRUE(sink->status().ok());
  }
  ASSERT_TRUE(running->wait());
  EXPECT_TRUE(h.run(prompt())->status().ok());
}

TEST(TextEngineEnd, AChoiceThatFailsEndsItsRequestOnly) {
  Harness h({});
  h.runner->set_token_hook([](const SampleRow& row, FakeModelRunner::Sampled& out) {
    if (row.params.seed == 666 && row.choice == 1) {
      out.status = error(StatusCode::kInternal, "logits are NaN");
    }
  });
  h.start();
  GenerationRequest good = prompt();
  good.max_tokens = 50;
  good.ignore_eos = true;
  auto good_sink = std::make_shared<RecordingSink>();
  ASSERT_TRUE(h.engine->generate(good, good_sink).ok());
  GenerationRequest bad = good;
  bad.n = 3;
  bad.sampling.seed = 666;
  const auto bad_sink = h.run(bad);
  EXPECT_EQ(bad_sink->status().code(), StatusCode::kInternal);
  ASSERT_TRUE(good_sink->wait());
  EXPECT_TRUE(good_sink->status().ok());
  EXPECT_EQ(good_sink->usage().completion_tokens, 50);
  EXPECT_TRUE(h.engine->health().ok());
  EXPECT_EQ(h.engine->stats().requests_failed, 1U);
  ASSERT_TRUE(h.engine->drain(std::chrono::seconds(30)));
  EXPECT_EQ(h.engine->stats().kv_blocks_used, 0);
}

TEST(TextEngineEnd, ALostStepIsNotTheEndOfTheEngine) {
  Harness h({}, {1, 2});
  h.runner->set_hook([](const Batch& batch) {
    return batch.step == 1 ? error(StatusCode::kInternal, "step lost") : Status();
  });
  EXPECT_EQ(h.run(prompt())->status().message(), "step lost");
  EXPECT_TRUE(h.run(prompt())->status().ok());
  ASSERT_TRUE(h.engine->drain(std::chrono::seconds(30)));
  EXPECT_EQ(h.engine->stats().steps_lost, 1U);
}

TEST(TextEngineEnd, ADeviceFailureEndsEverythingWithAReason) {
  Harness h({}, std::vector<int32_t>(100, 1));
  h.runner->set_hook([&](const Batch& batch) {
    TUTTI_RETURN_IF_ERROR(h.gate.pass());
    return batch.step == 2 ? error(StatusCode::kDevice, "all_reduce on rank 3: peer is gone")
                           : Status();
  });
  h.start();
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 20; ++i) {  // more than run at once
    sinks.push_back(std::make_shared<RecordingSink>());
    ASSERT_TRUE(h.engine->generate(prompt(), sinks.back()).ok());
  }
  h.gate.open();
  for (const auto& sink : sinks) {
    ASSERT_TRUE(sink->wait());
    EXPECT_EQ(sink->status().code(), StatusCode::kDevice);
    EXPECT_NE(sink->status().message().find("rank 3"), std::string::npos);
    EXPECT_TRUE(sink->well_behaved());
  }
  EXPECT_EQ(h.engine->health().code(), StatusCode::kDevice);
  EXPECT_NE(h.engine->health().message().find("rank 3"), std::string::npos);
  const auto later = h.engine->generate(prompt(), sinks[0]);
  EXPECT_EQ(later.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(h.runner->steps(), 3);  // the runner is not called again
}

// Where the engine thread hangs in its runner it can tell nobody; who asks for its health finds
// out.
TEST(TextEngineEnd, ARunnerThatDoesNotAnswerIsADeviceFailure) {
  Harness h({}, std::vector<int32_t>(100, 1));
  std::atomic<bool> hang = false;
  h.runner->set_hook(
      [&](const Batch& batch) { return hang && batch.step >= 3 ? h.gate.pass() : Status(); });
  h.parts.engine.step_timeout = std::chrono::milliseconds(300);
  h.start();
  // Idle or busy, nothing is found as long as steps come back.
  EXPECT_TRUE(h.run(prompt())->status().ok());
  const auto look_for = [&](std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (h.engine->health().ok() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return h.engine->health();
  };
  EXPECT_TRUE(look_for(std::chrono::milliseconds(500)).ok());
  hang = true;
  const auto sink = std::make_shared<RecordingSink>();
  ASSERT_TRUE(h.engine->generate(prompt(), sink).ok());
  h.gate.wait_for_step();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_TRUE(h.engine->health().ok()) << "only time between looks counts, and a second at most";
  const Status health = look_for(std::chrono::seconds(10));
  EXPECT_EQ(health.code(), StatusCode::kDevice);
  EXPECT_NE(health.message().find("have not answered for 0.3 s"), std::string::npos);
  EXPECT_EQ(h.engine->generate(prompt(), sink).status().code(), StatusCode::kUnavailable);
  EXPECT_FALSE(sink->wait(std::chrono::seconds(0)));
  // Should it come back after all, everybody hears what was said.
  h.gate.open();
  ASSERT_TRUE(sink->wait());
  EXPECT_EQ(sink->status().code(), StatusCode::kDevice);
  EXPECT_EQ(sink->status().message(), health.message());
}

TEST(TextEngineEnd, ShutdownWhileBusyEndsEveryRequest) {
  Harness h({}, std::vector<int32_t>(100, 1));
  h.runner->set_hook([&](const Batch&) { return h.gate.pass(); });
  h.start();
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 20; ++i) {
    sinks.push_back(std::make_shared<RecordingSink>());
    ASSERT_TRUE(h.engine->generate(prompt(), sinks.back()).ok());
  }
  h.gate.wait_for_step();
  std::thread opener([&] { h.gate.open(); });
  h.engine->shutdown();
  opener.join();
  for (const auto& sink : sinks) {
    ASSERT_TRUE(sink->wait(std::chrono::seconds(0))) << "every end comes before shutdown returns";
    EXPECT_TRUE(sink->well_behaved());
  }
  const auto later = h.engine->generate(prompt(), sinks[0]);
  EXPECT_EQ(later.status().code(), StatusCode::kUnavailable);
  h.engine->shutdown();
}

TEST(TextEngineEnd, DrainLetsLiveRequestsEnd) {
  Harness h({"a"}, {0, 0, 0});
  h.runner->set_hook([&](const Batch&) { return h.gate.pass(); });
  h.start();
  const auto sink = std::make_shared<RecordingSink>();
  ASSERT_TRUE(h.engine->generate(prompt(), sink).ok());
  EXPECT_FALSE(h.engine->drain(std::chrono::milliseconds(20)));
  const auto refused = h.engine->generate(prompt(), sink);
  EXPECT_EQ(refused.status().code(), StatusCode::kUnavailable);
  EXPECT_FALSE(h.engine->health().ok());
  h.gate.open();
  EXPECT_TRUE(h.engine->drain(std::chrono::seconds(30)));
  EXPECT_EQ(sink->content(), "aaa");
}

TEST(TextEngineEnd, AnIdleEngineUsesNoProcessorTime) {
  Harness h({"a"}, {0});
  h.run(prompt());
  const std::clock_t before = std::clock();  // of the whole process
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 20);
  EXPECT_EQ(h.runner->steps(), 3);  // "a", EOS, and one that was under way when EOS was seen
}

TEST(TextEngineEnd, ATimeoutEndsWaitingAndRunningRequests) {
  std::atomic<int64_t> now_us = 0;
  Harness h({}, std::vector<int32_t>(100, 1));
  h.parts.engine.clock = [&] { return now_us.load(); };
  h.runner->set_hook([&](const Batch& batch) {
    now_us = static_cast<int64_t>(batch.step) * 1'000'000;  // a step takes a second
    return h.gate.pass();
  });
  h.start();
  const auto add = [&](std::optional<int> deadline, std::optional<int> queue_deadline = {}) {
    using Time = std::chrono::steady_clock::time_point;
    auto sink = std::make_shared<RecordingSink>();
    GenerationRequest request = prompt();
    if (deadline) {
      request.deadline = Time(std::chrono::seconds(*deadline));
    }
    if (queue_deadline) {
      request.queue_deadline = Time(std::chrono::seconds(*queue_deadline));
    }
    EXPECT_TRUE(h.engine->generate(request, sink).ok());
    return sink;
  };
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int64_t i = 0; i < h.limits.max_batch_sequences; ++i) {
    sinks.push_back(add(20, 19));
  }
  const auto waiting = add(5);
  const auto gone = add({}, 6);
  const auto patient = add({});
  h.gate.open();
  ASSERT_TRUE(waiting->wait());
  EXPECT_EQ(waiting->status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(waiting->tokens().empty());
  ASSERT_TRUE(gone->wait());
  EXPECT_EQ(gone->status().code(), StatusCode::kUnavailable);
  for (const auto& sink : sinks) {
    ASSERT_TRUE(sink->wait());
    EXPECT_EQ(sink->status().code(), StatusCode::kDeadlineExceeded);
    EXPECT_FALSE(sink->tokens().empty());
    EXPECT_LT(sink->tokens().size(), 25U);
  }
  ASSERT_TRUE(patient->wait());
  EXPECT_TRUE(patient->status().ok());
  ASSERT_TRUE(h.engine->drain(std::chrono::seconds(30)));
  EXPECT_EQ(h.engine->stats().kv_blocks_used, 0);
  EXPECT_EQ(h.engine->stats().deadlines_expired, sinks.size() + 2);
}

TEST(TextEngineEnd, AnIdleEngineShutsDown) {
  Harness h({});
  h.start().shutdown();
}

}  // namespace
}  // namespace tutti
