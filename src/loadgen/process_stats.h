// CPU time and memory of a process, from /proc.
#pragma once
#include <cstdint>

#include "base/status.h"

namespace tutti::loadgen {

struct ProcessStats {
  double cpu_seconds = 0;      ///< user and system, of all threads
  int64_t resident_bytes = 0;  ///< VmRSS
};

/// kNotFound if there is no such process, or it is not ours to look at.
Result<ProcessStats> process_stats(int64_t pid);

/// CPU seconds of this process.
double own_cpu_seconds();

}  // namespace tutti::loadgen
