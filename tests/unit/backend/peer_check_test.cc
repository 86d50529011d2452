// The test of peer access with the real program as the child and made-up machines: what hangs is
// killed in time, what crashes is named, and one bad pair decides for all.
#include "backend/peer_check.h"

#include <algorithm>
#include <chrono>
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/child_process.h"
#include "base/file.h"

namespace tutti {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kOff = "; collectives go through host memory (slower)";

class PeerCheckTest : public ::testing::Test {
 protected:
  // Long enough for a loaded machine to start the program, short enough to wait for.
  static constexpr milliseconds kAll{3000};
  static constexpr milliseconds kAlone{2000};

  static PeerReport check(const std::vector<int>& gpus,
                          const std::string& what,
                          const std::string& pairs = "",
                          PeerCheckOptions options = {}) {
    options.command = {TUTTI_PROGRAM, "check-peers", "--pretend", what};
    if (!pairs.empty()) {
      options.command.insert(options.command.end(), {"--pretend-pairs", pairs});
    }
    if (what.starts_with("hang")) {
      options.all_limit = kAll;
      options.pair_limit = kAlone;
    }
    return check_peers(gpus, options);
  }

  static PeerVerdict verdict(const PeerReport& report, int from, int to) {
    for (const PeerResult& pair : report.pairs) {
      if (pair.from == from && pair.to == to) {
        return pair.verdict;
      }
    }
    return PeerVerdict::kUntested;
  }

  // All but these pairs are fine.
  static void expect_bad(const PeerReport& report,
                         const std::vector<std::pair<int, int>>& bad,
                         PeerVerdict how) {
    EXPECT_FALSE(report.usable());
    for (const PeerResult& pair : report.pairs) {
      const bool is_bad =
          std::find(bad.begin(), bad.end(), std::pair(pair.from, pair.to)) != bad.end();
      EXPECT_EQ(pair.verdict, is_bad ? how : PeerVerdict::kOk) << peer_line(pair);
    }
  }
};

TEST_F(PeerCheckTest, GoodPairsAreBelieved) {
  const PeerReport report = check({0, 1, 5}, "ok");
  EXPECT_TRUE(report.usable()) << report.line();
  EXPECT_EQ(report.pairs.size(), 6U);
  EXPECT_THAT(report.line(), StartsWith("P2P between 3 GPUs: verified by moved data in "));
  EXPECT_LT(report.seconds, 15);
}

TEST_F(PeerCheckTest, WrongDataIsNamed) {
  const PeerReport report = check({0, 1, 2}, "wrong", "2:1");
  expect_bad(report, {{2, 1}}, PeerVerdict::kWrongData);
  EXPECT_EQ(report.line(),
            std::string("P2P is off: cuda:2 -> cuda:1 returned wrong data (pretended)") + kOff);
}

TEST_F(PeerCheckTest, MissingAccessAndErrorsNeedNoSecondChild) {
  expect_bad(check({0, 1}, "unsupported"), {{0, 1}, {1, 0}}, PeerVerdict::kUnsupported);
  const PeerReport report = check({0, 1, 2}, "error", "0:1,1:0");
  expect_bad(report, {{0, 1}, {1, 0}}, PeerVerdict::kError);
  EXPECT_THAT(report.line(),
              HasSubstr("cuda:0 -> cuda:1 failed (pretended) and 1 more of 6 pairs"));
}

TEST_F(PeerCheckTest, AHangIsKilledAndNarrowedDown) {
  const auto begin = steady_clock::now();
  const PeerReport report = check({0, 1, 2}, "hang", "1:2");
  expect_bad(report, {{1, 2}}, PeerVerdict::kHang);
  EXPECT_THAT(report.line(), StartsWith("P2P is off: cuda:1 -> cuda:2 hangs (for 2.0 s)"));
  const auto took = steady_clock::now() - begin;
  EXPECT_GE(took, kAll + kAlone);
  EXPECT_LT(took, kAll + 4 * kAlone);  // the pairs behind it end by themselves
}

TEST_F(PeerCheckTest, ACrashIsNarrowedDown) {
  const PeerReport report = check({0, 1, 2}, "crash", "0:2,2:0");
  expect_bad(report, {{0, 2}, {2, 0}}, PeerVerdict::kCrash);
  EXPECT_THAT(report.line(),
              HasSubstr("cuda:0 -> cuda:2 ends the process that tries it (signal 9) and 1 more"));
}

TEST_F(PeerCheckTest, WhatHangsOnlyTogetherIsOffToo) {
  const PeerReport report = check({0, 1}, "hang-together");
  EXPECT_FALSE(report.usable());
  for (const PeerResult& pair : report.pairs) {
    EXPECT_EQ(pair.verdict, PeerVerdict::kOk);
  }
  EXPECT_THAT(report.line(), HasSubstr("all pairs together hangs (for 3.0 s), though each works"));
}

TEST_F(PeerCheckTest, NarrowingEndsInTime) {
  const PeerReport report = check({0, 1, 2}, "hang", "", {.narrowing_limit = milliseconds(1)});
  EXPECT_EQ(verdict(report, 0, 1), PeerVerdict::kHang);
  EXPECT_EQ(verdict(report, 2, 1), PeerVerdict::kUntested);
  EXPECT_THAT(report.line(), HasSubstr("cuda:0 -> cuda:1 hangs"));
}

TEST_F(PeerCheckTest, ATestThatCannotRunIsAReason) {
  const PeerReport failed = check({0, 1}, "failed");
  EXPECT_FALSE(failed.usable());
  EXPECT_EQ(failed.line(), std::string("P2P is off: pretended") + kOff);
  const PeerReport missing = check_peers({0, 1}, {.command = {"/nonexistent/tutti"}});
  EXPECT_FALSE(missing.usable());
  EXPECT_THAT(missing.line(), HasSubstr("/nonexistent/tutti does not start (No such file"));
  const PeerReport other = check_peers({0, 1}, {.command = {"/bin/true"}});
  EXPECT_FALSE(other.usable()) << "it says nothing";
  EXPECT_THAT(other.line(), HasSubstr("exit code 0"));
}

TEST_F(PeerCheckTest, InThisProcessTheLineSaysSo) {
  const auto all = [](PeerVerdict verdict) {
    return check_peers_here({0, 1}, [verdict](std::vector<PeerResult> pairs, const PeerSay& say) {
      for (PeerResult& pair : pairs) {
        pair.verdict = verdict;
        say(pair);
      }
      return std::string();
    });
  };
  EXPECT_TRUE(all(PeerVerdict::kOk).usable());
  EXPECT_THAT(all(PeerVerdict::kOk).line(), EndsWith(", in this process"));
  EXPECT_FALSE(all(PeerVerdict::kTrying).usable());
  EXPECT_THAT(all(PeerVerdict::kWrongData).line(), HasSubstr("tried in this process"));
  const PeerReport broken =
      check_peers_here({0, 1}, [](const auto&, const auto&) { return std::string("no library"); });
  EXPECT_EQ(broken.line(), std::string("P2P is off: no library") + kOff);
}

TEST(PeerLineTest, LinesAndPairsComeBack) {
  for (const PeerVerdict verdict : {PeerVerdict::kUntested,
                                    PeerVerdict::kTrying,
                                    PeerVerdict::kOk,
                                    PeerVerdict::kUnsupported,
                                    PeerVerdict::kWrongData,
                                    PeerVerdict::kError,
                                    PeerVerdict::kHang,
                                    PeerVerdict::kCrash}) {
    PeerResult got;
    ASSERT_TRUE(parse_peer_line(peer_line({3, 12, verdict, "some\ntext 4 5"}), got));
    EXPECT_EQ(got.from, 3);
    EXPECT_EQ(got.to, 12);
    EXPECT_EQ(got.verdict, verdict);
    EXPECT_EQ(got.text, "some text 4 5");
  }
  for (const char* line :
       {"", "ok", "ok 1", "ok 1 2", "ok 1 x ", "fine 1 2 ", "ok -1 2 ", "okay 1 2 "}) {
    PeerResult got;
    EXPECT_FALSE(parse_peer_line(line, got)) << line;
  }
  std::vector<PeerResult> pairs;
  ASSERT_TRUE(parse_pairs(pairs_text(peer_pairs({4, 7, 9})), pairs));
  EXPECT_EQ(pairs_text(pairs), "4:7,4:9,7:4,7:9,9:4,9:7");
  for (const char* text : {"", "1", "1:", ":1", "1:1", "1:2,", "1:2;2:1", "1:2 ", "a:b"}) {
    EXPECT_FALSE(parse_pairs(text, pairs)) << text;
  }
}

TEST(ChildProcessTest, LinesAndEnds) {
  const auto run =
      [](const std::string& script, milliseconds limit, std::vector<std::string>& lines) {
        lines.clear();
        return run_child({"/bin/sh", "-c", script}, limit, [&lines](std::string_view line) {
          lines.emplace_back(line);
          return line != "enough";
        });
      };
  constexpr milliseconds kLong{20'000};
  std::vector<std::string> lines;
  ChildEnd end = run("echo one; echo two; printf rest; echo no >&2; exit 3", kLong, lines);
  EXPECT_EQ(end.how, ChildEnd::How::kExited);
  EXPECT_EQ(end.code, 3);
  EXPECT_THAT(lines, ElementsAre("one", "two")) << "a line ends with a newline";
  end = run("kill -SEGV $$", kLong, lines);
  EXPECT_EQ(end.how, ChildEnd::How::kSignal);
  EXPECT_EQ(end.code, SIGSEGV);
  const auto begin = steady_clock::now();
  end = run("echo enough; exec sleep 100", kLong, lines);
  EXPECT_EQ(end.how, ChildEnd::How::kStopped);
  end = run("echo one; exec sleep 100", milliseconds(200), lines);
  EXPECT_EQ(end.how, ChildEnd::How::kTimeout);
  EXPECT_THAT(lines, ElementsAre("one"));
  // Output closed, process alive.
  end = run("exec sleep 100 >&-", milliseconds(200), lines);
  EXPECT_EQ(end.how, ChildEnd::How::kTimeout);
  EXPECT_LT(steady_clock::now() - begin, milliseconds(10'000));
}

// A server blocks signals and holds sockets; neither must reach the child.
TEST(ChildProcessTest, SignalsAndDescriptorsStayHere) {
  sigset_t block;
  sigemptyset(&block);
  sigaddset(&block, SIGTERM);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &block, &before);
  std::string seen;
  const ChildEnd end =
      run_child({"/bin/sh", "-c", "ls /proc/self/fd | wc -l; kill -TERM $$; sleep 9"},
                milliseconds(20'000),
                [&seen](std::string_view line) {
                  seen = line;
                  return true;
                });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(end.how, ChildEnd::How::kSignal);
  EXPECT_EQ(end.code, SIGTERM);
  EXPECT_EQ(seen, "4") << "its three and the folder that it lists";
}

}  // namespace
}  // namespace tutti
