// Real processes: what starts, crashes, hangs, refuses, and what is left of it.
#include "supervise/supervisor.h"

#include <atomic>
#include <csignal>
#include <fstream>
#include <mutex>
#include <set>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "supervise/engine_processes.h"

namespace tutti {
namespace {

using namespace std::chrono_literals;
using testing::is_dead;
using testing::wait_until;
using State = ReplicaState;

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory = testing::make_runtime_directory();
    ASSERT_NE(directory, nullptr);
    config = testing::fake_engines(TUTTI_FAKE_ENGINE, directory->path());
    config.on_line = [this](const EngineSpec&, std::string_view line) {
      const std::lock_guard lock(mutex);
      lines.emplace_back(line);
    };
    config.on_change = [this] { ++changes; };
  }

  void start(const std::string& behaviour) {
    auto started = Supervisor::start(config);
    ASSERT_TRUE(started.ok()) << started.status().message();
    supervisor = std::move(started).value();
    id = supervisor->launch({.model = "m", .arguments = {behaviour}});
  }

  // The only replica; one that is gone if there is none.
  ReplicaView only() const {
    const auto all = supervisor->replicas();
    return all.empty() ? ReplicaView{.state = State::kGone} : all.front();
  }

  bool becomes(State state) const {
    return wait_until([&] { return only().state == state; });
  }

  std::unique_ptr<RuntimeDirectory> directory;
  SupervisorConfig config;
  std::mutex mutex;
  std::vector<std::string> lines;
  std::atomic<int> changes{0};
  std::unique_ptr<Supervisor> supervisor;
  uint64_t id = 0;
};

TEST_F(SupervisorTest, StartsAndStops) {
  start("ready");
  ASSERT_TRUE(becomes(State::kReady)) << only().last_error.message();
  const ReplicaView view = only();
  EXPECT_EQ(view.max_context, 4096);
  EXPECT_EQ(view.description, "a fake");
  EXPECT_EQ(view.crashes, 0);
  // Its start and its readiness at least, however many of its reports were read at once; told
  // after.
  EXPECT_TRUE(wait_until([&] { return changes >= 2; }));
  EXPECT_EQ(getpgid(view.pid), view.pid) << "a process group of its own";

  struct stat about {};

  ASSERT_EQ(stat(view.socket.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
  EXPECT_TRUE(wait_until([&] { return !supervisor->log(id).empty(); }));
  EXPECT_EQ(supervisor->log(id).back(), "fake engine is up");
  supervisor->stop(id);
  ASSERT_TRUE(becomes(State::kGone));
  EXPECT_TRUE(is_dead(view.pid));
  EXPECT_NE(stat(view.socket.c_str(), &about), 0) << "the socket is left";
  EXPECT_TRUE(supervisor->log(id).empty());
}

TEST_F(SupervisorTest, NothingOfUsIsOpenInAnEngine) {
  const int mine = dup(STDERR_FILENO);  // without close-on-exec
  start("ready");
  ASSERT_TRUE(becomes(State::kReady));
  const std::string fds = "/proc/" + std::to_string(only().pid) + "/fd";

  struct stat ours {};

  struct stat theirs {};

  const std::string copy = fds + "/" + std::to_string(mine);
  ASSERT_EQ(fstat(mine, &ours), 0);
  EXPECT_FALSE(stat(copy.c_str(), &theirs) == 0 && theirs.st_ino == ours.st_ino &&
               theirs.st_dev == ours.st_dev);
  close(mine);
}

TEST_F(SupervisorTest, StartsAgainWhatCrashes) {
  start("fail-once:" + directory->path() + "/marker");
  ASSERT_TRUE(becomes(State::kReady));
  EXPECT_EQ(only().crashes, 1);
  EXPECT_TRUE(only().last_error.ok());
  const pid_t first = only().pid;
  ASSERT_EQ(kill(first, SIGKILL), 0);
  ASSERT_TRUE(wait_until([&] { return only().state == State::kReady && only().pid != first; }));
  EXPECT_EQ(only().crashes, 2);
  EXPECT_TRUE(is_dead(first));
}

TEST_F(SupervisorTest, ACrashLoopEndsAndKeepsItsCause) {
  start("signal:11");
  ASSERT_TRUE(becomes(State::kFailed));
  const ReplicaView view = only();
  EXPECT_EQ(view.crashes, config.rules.crashes);
  EXPECT_NE(view.last_error.message().find("signal 11 (SIGSEGV)"), std::string::npos)
      << view.last_error.message();
  EXPECT_EQ(view.last_lines, std::vector<std::string>{"no end of line"});
  EXPECT_EQ(view.pid, 0);
  EXPECT_EQ(supervisor->log(id), view.last_lines);
}

TEST_F(SupervisorTest, ExitCodesAndLastWordsAreKept) {
  start("exit:42");
  ASSERT_TRUE(becomes(State::kFailed));
  EXPECT_NE(only().last_error.message().find("exit code 42"), std::string::npos);
  EXPECT_EQ(only().last_lines, std::vector<std::string>{"last words of exit:42"});
  const std::lock_guard lock(mutex);
  EXPECT_EQ(lines.size(), static_cast<size_t>(config.rules.crashes));
}

TEST_F(SupervisorTest, ARefusalIsNotTriedAgain) {
  start("refuse");
  ASSERT_TRUE(becomes(State::kFailed));
  EXPECT_EQ(only().last_error.code(), StatusCode::kOutOfMemory);
  EXPECT_EQ(only().last_error.message(), "the model does not fit: 9 GB short");
  EXPECT_EQ(only().crashes, 0);
}

TEST_F(SupervisorTest, WhatHangsIsKilled) {
  config.times.loading = 1s;
  config.rules.crashes = 1;
  start("stuck");
  ASSERT_TRUE(becomes(State::kLoading));
  const pid_t pid = only().pid;
  EXPECT_EQ(only().total_bytes, 100);
  ASSERT_TRUE(becomes(State::kFailed));
  EXPECT_NE(only().last_error.message().find("loading took longer than 1 s"), std::string::npos)
      << only().last_error.message();
  EXPECT_TRUE(is_dead(pid));
}

TEST_F(SupervisorTest, WhatGivesNoSignOfLifeIsKilled) {
  config.times.alive = 1s;
  config.rules.crashes = 1;
  start("silent");
  ASSERT_TRUE(becomes(State::kReady));
  ASSERT_TRUE(becomes(State::kFailed));
  EXPECT_NE(only().last_error.message().find("a sign of life"), std::string::npos);
}

TEST_F(SupervisorTest, AStoppedProcessIsKilledToo) {
  config.times.alive = 1s;
  start("ready");
  ASSERT_TRUE(becomes(State::kReady));
  const pid_t pid = only().pid;
  ASSERT_EQ(kill(pid, SIGSTOP), 0);
  ASSERT_TRUE(wait_until([&] { return only().state == State::kReady && only().pid != pid; }));
  EXPECT_TRUE(is_dead(pid));
}

TEST_F(SupervisorTest, WhoDoesNotWantToEndIsKilled) {
  config.times.draining = 1s;
  start("deaf");
  ASSERT_TRUE(becomes(State::kReady));
  const pid_t pid = only().pid;
  supervisor->stop(id);
  ASSERT_TRUE(becomes(State::kDraining));
  ASSERT_TRUE(becomes(State::kGone));
  EXPECT_TRUE(is_dead(pid));
}

TEST_F(SupervisorTest, ItsChildrenGoWithIt) {
  config.rules.crashes = 1;
  const std::string file = directory->path() + "/orphan";
  start("orphan:" + file);
  ASSERT_TRUE(becomes(State::kFailed));
  pid_t orphan = 0;
  std::ifstream(file) >> orphan;
  ASSERT_GT(orphan, 0);
  EXPECT_TRUE(wait_until([&] { return is_dead(orphan); }));
}

TEST_F(SupervisorTest, AProgramThatIsNotThereIsAnError) {
  config.program = "/nonexistent/engine";
  config.rules.crashes = 2;
  start("ready");
  ASSERT_TRUE(becomes(State::kFailed));
  EXPECT_NE(only().last_error.message().find("cannot start /nonexistent/engine"),
            std::string::npos);
}

TEST_F(SupervisorTest, ShutsAllDown) {
  start("ready");
  for (int i = 0; i < 3; ++i) {
    supervisor->launch({.model = "m", .arguments = {i == 0 ? "exit:1" : "ready"}});
  }
  std::set<pid_t> pids;
  ASSERT_TRUE(wait_until([&] {
    pids.clear();
    for (const ReplicaView& view : supervisor->replicas()) {
      if (view.state == State::kReady) {
        pids.insert(view.pid);
      }
    }
    return pids.size() == 3;
  }));
  supervisor->shut_down();
  EXPECT_TRUE(supervisor->replicas().empty());
  for (const pid_t pid : pids) {
    EXPECT_TRUE(is_dead(pid));
  }
}

TEST_F(SupervisorTest, DestructionKills) {
  start("ready");
  ASSERT_TRUE(becomes(State::kReady));
  const pid_t pid = only().pid;
  supervisor.reset();
  EXPECT_TRUE(is_dead(pid));
}

// R-01 of engines: whatever kills the supervisor takes the engine along.
TEST_F(SupervisorTest, EnginesDieWithTheirSupervisor) {
  for (int round = 0; round < 5; ++round) {
    int out[2];
    ASSERT_EQ(pipe(out), 0);
    const pid_t host = fork();
    if (host == 0) {
      dup2(out[1], STDOUT_FILENO);
      execl(TUTTI_SUPERVISOR_HOST,
            TUTTI_SUPERVISOR_HOST,
            TUTTI_FAKE_ENGINE,
            directory->path().c_str(),
            nullptr);
      _exit(127);
    }
    close(out[1]);
    FILE* said = fdopen(out[0], "r");
    int engine = 0;
    ASSERT_EQ(std::fscanf(said, "%d", &engine), 1);
    std::fclose(said);
    ASSERT_GT(engine, 0);
    EXPECT_FALSE(is_dead(engine));
    ASSERT_EQ(kill(host, SIGKILL), 0);
    ASSERT_EQ(waitpid(host, nullptr, 0), host);
    EXPECT_TRUE(wait_until([&] { return is_dead(engine); }));
  }
}

}  // namespace
}  // namespace tutti
