// Random numbers that are the same on every machine: the distributions of <random> are not.
#pragma once
#include <cstdint>

namespace tutti::loadgen {

/// splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
class Random {
 public:
  /// `stream` separates generators of one seed.
  explicit Random(uint64_t seed, uint64_t stream = 0);

  uint64_t next();
  /// Uniform in [0, 1).
  double uniform();
  /// Uniform in [low, high], both included; low <= high.
  int64_t integer(int64_t low, int64_t high);
  /// Standard normal (Box and Muller 1958).
  double normal();
  /// Gap between arrivals of a Poisson process with `rate` arrivals per unit of time.
  double exponential(double rate);

 private:
  uint64_t state_;
};

}  // namespace tutti::loadgen
