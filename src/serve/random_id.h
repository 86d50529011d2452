// Unpredictable numbers for ids and seeds.
#pragma once
#include <cstdint>
#include <random>
#include <string>

#include <fmt/format.h>

namespace tutti {

inline uint64_t random_u64() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

/// "<prefix>-" and 24 hex digits.
inline std::string random_id(const char* prefix) {
  return fmt::format("{}-{:016x}{:08x}", prefix, random_u64(), random_u64() >> 32);
}

}  // namespace tutti
