// How fast this machine reads memory: the ceiling for decoding, which reads every weight once per
// token.
#pragma once
#include <cstdint>

#include "base/status.h"

namespace tutti {

/// Bytes per second that `threads` threads read together, each walking over its own part of a fresh
/// region of `bytes` (which should be several times the last-level cache). The median of several
/// passes: a single pass may run beside another process. kOutOfMemory if there is no such region.
Result<double> measure_read_bandwidth(int threads, int64_t bytes);

}  // namespace tutti
