// Why a process ended, in words.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace tutti {

struct ExitCause {
  int code = 0;                ///< exit code; 0 if a signal ended it
  int signal = 0;              ///< 0: none
  bool out_of_memory = false;  ///< the kernel's OOM killer, as far as can be known

  /// "exit code 74", "signal 11 (SIGSEGV)", "signal 9 (SIGKILL) by the kernel: memory ran out".
  std::string text() const;
};

/// `status`: of wait(2). `kills_before`, `kills_after`: kernel_oom_kills() around its life; `ours`:
/// we have sent SIGKILL ourselves.
ExitCause exit_cause(int status,
                     std::optional<int64_t> kills_before,
                     std::optional<int64_t> kills_after,
                     bool ours);

/// How many processes the kernel has killed for memory since it started (/proc/vmstat below
/// `root`). nullopt: it does not say.
std::optional<int64_t> kernel_oom_kills(const std::string& root = "");

}  // namespace tutti
