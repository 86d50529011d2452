// Unpredictable numbers for ids and seeds.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

#include "base/check.h"

namespace tutti {

inline uint64_t random_u64() {
  // The system call and no device file: a server that is out of descriptors still has to answer.
  uint64_t number = 0;
  TUTTI_CHECK_MSG(getentropy(&number, sizeof number) == 0, "the kernel gives no random numbers");
  return number;
}

/// The prefix, "-" unless it ends with "_", and 24 hex digits.
inline std::string random_id(const char* prefix) {
  const char* dash = std::string_view(prefix).ends_with('_') ? "" : "-";
  return fmt::format("{}{}{:016x}{:08x}", prefix, dash, random_u64(), random_u64() >> 32);
}

}  // namespace tutti
