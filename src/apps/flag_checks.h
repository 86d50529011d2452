// What the values of flags must be, and how it is said. Only the cli*.cc include this
// (cli_flags.h).
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>

#include <CLI/CLI.hpp>

namespace tutti {

/// An integer within these bounds. "wanted 1 to 64"; of bounds that nobody will meet only the one
/// that was missed is told. "4k" gets the number in digits.
CLI::Validator between(int64_t min, int64_t max);

/// A finite number within these bounds.
CLI::Validator between(double min, double max);

inline CLI::Validator between(int min, int max) {
  return between(int64_t{min}, int64_t{max});
}

inline CLI::Validator between(int min, int64_t max) {
  return between(int64_t{min}, max);
}

/// One of these words, two at least: "wanted auto or off".
CLI::Validator one_of(std::initializer_list<const char*> words);

}  // namespace tutti
