// A program run as a child that is ended when it takes too long.
#pragma once
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

struct ChildEnd {
  enum class How {
    kStopped,     ///< the caller had heard enough
    kExited,      ///< by itself; `code` is its exit code
    kSignal,      ///< `code` is the signal
    kTimeout,     ///< it was killed
    kNotStarted,  ///< `code` is errno
  };
  How how = How::kExited;
  int code = 0;
};

/// Runs `command` (a path and arguments) and gives each line of its standard output to `on_line`;
/// false ends the child. It reads nothing, its standard error goes nowhere, it inherits the
/// environment but no descriptors, and signals act on it as on a fresh program. Returns when the
/// child is gone, or two seconds after killing one that the kernel does not let go.
ChildEnd run_child(const std::vector<std::string>& command,
                   std::chrono::milliseconds limit,
                   const std::function<bool(std::string_view line)>& on_line);

}  // namespace tutti
