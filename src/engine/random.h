// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC'11). A draw is a pure function of its key and counter, so it does not depend on who
// else is in the batch, on preemption or on the thread.
#pragma once
#include <array>
#include <cstdint>

namespace tutti {

constexpr std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter,
                                             std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53U} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57U} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32U) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32U) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9U;  // golden ratio
    key[1] += 0xBB67AE85U;  // sqrt(3) - 1
  }
  return counter;
}

/// 53 random bits for output token `position` of choice `choice`.
constexpr uint64_t uniform_units(uint64_t seed, int32_t choice, int64_t position) {
  const auto place = static_cast<uint64_t>(position);
  const auto bits = philox4x32({static_cast<uint32_t>(place),
                                static_cast<uint32_t>(place >> 32U),
                                static_cast<uint32_t>(choice),
                                0},
                               {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32U)});
  const uint64_t word = uint64_t{bits[0]} << 32U | bits[1];
  return word >> 11U;
}

/// The same as a number: uniform in [0, 1).
constexpr double uniform_draw(uint64_t seed, int32_t choice, int64_t position) {
  return static_cast<double>(uniform_units(seed, choice, position)) * 0x1.0p-53;
}

}  // namespace tutti
