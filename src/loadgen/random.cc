#include "loadgen/random.h"

#include <cmath>
#include <numbers>

namespace tutti::loadgen {

namespace {

constexpr uint64_t kStep = 0x9E3779B97F4A7C15U;

uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31U);
}

}  // namespace

Random::Random(uint64_t seed, uint64_t stream) : state_(mix(seed + kStep) ^ mix(~stream)) {}

uint64_t Random::next() {
  state_ += kStep;
  return mix(state_);
}

double Random::uniform() {
  return static_cast<double>(next() >> 11U) * 0x1p-53;
}

int64_t Random::integer(int64_t low, int64_t high) {
  // The bias of the remainder is below 2^-32 for every range that fits in 32 bits.
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
  return static_cast<int64_t>(static_cast<uint64_t>(low) + (range == 0 ? next() : next() % range));
}

double Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

double Random::exponential(double rate) {
  return -std::log(1.0 - uniform()) / rate;
}

}  // namespace tutti::loadgen
