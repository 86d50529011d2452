#include "supervise/exit_cause.h"

#include <charconv>
#include <csignal>
#include <cstring>
#include <fstream>

#include <fmt/format.h>
#include <sys/wait.h>

namespace tutti {

std::string ExitCause::text() const {
  if (signal == 0) {
    return fmt::format("exit code {}", code);
  }
  const char* name = sigabbrev_np(signal);
  return fmt::format("signal {}{}{}",
                     signal,
                     name == nullptr ? "" : fmt::format(" (SIG{})", name),
                     out_of_memory ? " by the kernel: memory ran out" : "");
}

ExitCause exit_cause(int status,
                     std::optional<int64_t> kills_before,
                     std::optional<int64_t> kills_after,
                     bool ours) {
  ExitCause cause;
  if (WIFSIGNALED(status)) {
    cause.signal = WTERMSIG(status);
    cause.out_of_memory = cause.signal == SIGKILL && !ours && kills_before && kills_after &&
                          *kills_after > *kills_before;
  } else {
    cause.code = WEXITSTATUS(status);
  }
  return cause;
}

std::optional<int64_t> kernel_oom_kills(const std::string& root) {
  constexpr std::string_view kName = "oom_kill ";
  std::ifstream file(root + "/proc/vmstat");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(kName)) {
      int64_t count = 0;
      const char* end = line.data() + line.size();
      const auto parsed = std::from_chars(line.data() + kName.size(), end, count);
      return parsed.ec == std::errc() ? std::optional(count) : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace tutti
