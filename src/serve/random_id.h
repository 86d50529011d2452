// Unpredictable numbers for ids and seeds.
#pragma once
#include <cstdint>
#include <random>
#include <string>

#include <fmt/format.h>

namespace tutti {

inline uint64_t random_u64() {
  // One device per thread: to open one costs tens of microseconds where the processor's own random
  // instruction is slow, and every request asks three times.
  static thread_local std::random_device device("/dev/urandom");
  return (static_cast<uint64_t>(device()) << 32) | device();
}

/// "<prefix>-" and 24 hex digits.
inline std::string random_id(const char* prefix) {
  return fmt::format("{}-{:016x}{:08x}", prefix, random_u64(), random_u64() >> 32);
}

}  // namespace tutti
