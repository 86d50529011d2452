#include "backend/peer_check.h"

#include <algorithm>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

#include "backend/child_process.h"

namespace tutti {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

void note(std::vector<PeerResult>& pairs, const PeerResult& result) {
  for (PeerResult& pair : pairs) {
    if (pair.from == result.from && pair.to == result.to) {
      pair = result;
    }
  }
}

bool finished(const PeerResult& pair) {
  return pair.verdict != PeerVerdict::kUntested && pair.verdict != PeerVerdict::kTrying;
}

// What became of one testing process.
struct ChildTest {
  bool complete = false;
  bool broken = false;                        // no test ran, and none will in another child
  PeerVerdict verdict = PeerVerdict::kError;  // of pairs it did not finish
  std::string text = "the test did not speak of it";
};

ChildTest test_in_child(std::vector<PeerResult>& pairs,
                        const PeerCheckOptions& options,
                        milliseconds limit) {
  std::vector<std::string> command = options.command;
  command.insert(command.end(), {"--pairs", pairs_text(pairs)});
  ChildTest test;
  const ChildEnd end = run_child(command, limit, [&](std::string_view line) {
    PeerResult result;
    if (parse_peer_line(line, result)) {
      note(pairs, result);
    } else if (line.starts_with(kPeerTestFailed)) {
      test.broken = true;
      test.text = line.substr(std::strlen(kPeerTestFailed));
    } else if (line == kPeerTestEnd) {
      test.complete = true;
    }
    return !test.complete && !test.broken;
  });
  if (test.complete || test.broken) {
    return test;
  }
  switch (end.how) {
    case ChildEnd::How::kNotStarted:
      test.broken = true;
      test.text = fmt::format("the test {} does not start ({})",
                              command.front(),
                              std::generic_category().message(end.code));
      break;
    case ChildEnd::How::kTimeout:
      test.verdict = PeerVerdict::kHang;
      test.text = fmt::format("for {:.1f} s", std::chrono::duration<double>(limit).count());
      break;
    case ChildEnd::How::kSignal:
      test.verdict = PeerVerdict::kCrash;
      test.text = fmt::format("signal {}", end.code);
      break;
    case ChildEnd::How::kExited:
    case ChildEnd::How::kStopped:
      test.verdict = PeerVerdict::kCrash;
      test.text = fmt::format("exit code {}", end.code);
  }
  return test;
}

// The pair that was being tried when a child ended, then those it had not come to.
std::vector<PeerResult*> unfinished(std::vector<PeerResult>& pairs) {
  std::vector<PeerResult*> left;
  for (PeerResult& pair : pairs) {
    if (!finished(pair)) {
      left.insert(pair.verdict == PeerVerdict::kTrying ? left.begin() : left.end(), &pair);
    }
  }
  return left;
}

// Tries each pair that is left alone; true if all of them work so.
bool narrow(std::vector<PeerResult>& pairs, const PeerCheckOptions& options) {
  const Clock::time_point deadline = Clock::now() + options.narrowing_limit;
  bool all_work = true;
  for (PeerResult* pair : unfinished(pairs)) {
    std::vector<PeerResult> alone{{.from = pair->from, .to = pair->to}};
    if (Clock::now() < deadline) {
      const ChildTest test = test_in_child(alone, options, options.pair_limit);
      const bool untold = !finished(alone.front());
      if (untold || (alone.front().verdict == PeerVerdict::kOk && !test.complete)) {
        alone.front().verdict = test.verdict;
        alone.front().text = test.text;
      }
    }
    *pair = alone.front();
    all_work = all_work && pair->verdict == PeerVerdict::kOk;
  }
  return all_work;
}

}  // namespace

PeerReport check_peers(const std::vector<int>& gpus, const PeerCheckOptions& options) {
  const Clock::time_point begin = Clock::now();
  PeerReport report{.pairs = peer_pairs(gpus)};
  const ChildTest together = test_in_child(report.pairs, options, options.all_limit);
  if (together.broken) {
    report.beside = together.text;
  } else if (!together.complete && narrow(report.pairs, options)) {
    report.beside =
        fmt::format("the test of all pairs together {} ({}), though each works alone",
                    together.verdict == PeerVerdict::kHang ? "hangs" : "ends its process",
                    together.text);
  }
  report.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return report;
}

PeerReport check_peers_here(const std::vector<int>& gpus,
                            const std::function<std::string(const std::vector<PeerResult>& pairs,
                                                            const PeerSay& say)>& test) {
  const Clock::time_point begin = Clock::now();
  PeerReport report{.pairs = peer_pairs(gpus), .in_child = false};
  report.beside =
      test(peer_pairs(gpus), [&report](const PeerResult& result) { note(report.pairs, result); });
  report.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return report;
}

}  // namespace tutti
