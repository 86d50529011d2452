// The time of day, for what people and replies are told; durations are measured by steady clocks.
#pragma once
#include <chrono>
#include <cstdint>

namespace tutti {

/// Seconds since 1970.
inline int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace tutti
