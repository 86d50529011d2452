// The time of day, for what people and replies are told; durations are measured by steady clocks.
#pragma once
#include <chrono>
#include <cstdint>
#include <ctime>
#include <string>

namespace tutti {

/// Seconds since 1970.
inline int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// "2026-01-31T23:59:59Z"
inline std::string utc_text(int64_t unix_seconds) {
  const std::time_t seconds = unix_seconds;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace tutti
