// tutti check-peers: tests whether GPUs can use each other's memory, as the child of a program that
// wants to know and that ends it if it takes too long (backend/peer_check.h). One line per event.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <sys/prctl.h>
#include <unistd.h>

#include "apps/options.h"
#include "backend/cuda_library.h"
#include "backend/peer_check.h"

namespace tutti {

namespace {

constexpr unsigned kLongestSeconds = 120;  // of a child that nobody ends

void say_line(const std::string& line) {
  std::fprintf(stdout, "%s\n", line.c_str());
  std::fflush(stdout);
}

void say_result(const PeerResult& result) {
  say_line(peer_line(result));
}

[[noreturn]] void hang() {
  for (;;) {
    pause();
  }
}

bool is_among(const std::vector<PeerResult>& pairs, const PeerResult& pair) {
  return std::any_of(pairs.begin(), pairs.end(), [&](const PeerResult& p) {
    return p.from == pair.from && p.to == pair.to;
  });
}

// What the driver, or the machine, does at this pair.
PeerResult pretend_one(const std::string& what, PeerResult pair, bool together) {
  if (what == "hang" || (what == "hang-together" && together)) {
    hang();
  }
  if (what == "crash") {
    std::raise(SIGKILL);  // leaves no core file
  }
  pair.verdict = what == "unsupported" ? PeerVerdict::kUnsupported
                 : what == "wrong"     ? PeerVerdict::kWrongData
                 : what == "error"     ? PeerVerdict::kError
                                       : PeerVerdict::kOk;
  pair.text = what == "wrong" || what == "error" ? "pretended" : "";
  return pair;
}

Status pretend(const CheckPeersOptions& options, const std::vector<PeerResult>& pairs) {
  std::vector<PeerResult> chosen = pairs;
  if (!options.pretend_pairs.empty() && !parse_pairs(options.pretend_pairs, chosen)) {
    return invalid("--pretend-pairs {}: wanted pairs such as 0:1,1:0", options.pretend_pairs);
  }
  if (options.pretend == "failed") {
    return error(StatusCode::kUnavailable, "pretended");
  }
  for (PeerResult pair : pairs) {
    pair.verdict = PeerVerdict::kTrying;
    say_result(pair);
    say_result(
        pretend_one(is_among(chosen, pair) ? options.pretend : "ok", pair, pairs.size() > 1));
  }
  return ok_status();
}

Status check(const CheckPeersOptions& options) {
  std::vector<PeerResult> pairs;
  if (!parse_pairs(options.pairs, pairs)) {
    return invalid("--pairs {}: wanted pairs such as 0:1,1:0", options.pairs);
  }
  return options.pretend.empty() ? test_peers(default_plugin_paths(), pairs, say_result)
                                 : pretend(options, pairs);
}

}  // namespace

int check_peers_command(const CheckPeersOptions& options) {
  // Not to outlive the program that waits for it, nor to hang for ever.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm(kLongestSeconds);
  const Status status = check(options);
  say_line(status.ok() ? kPeerTestEnd : kPeerTestFailed + status.message());
  // Without the drivers' clean-up, which may hang as well.
  std::_Exit(mapping(status.code()).exit_code);
}

}  // namespace tutti
