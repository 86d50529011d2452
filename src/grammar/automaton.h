// A hand-written automaton as a leaf of a regular expression, for what is regular and clumsy as an
// expression (multiples of a number).
#pragma once
#include <cstdint>
#include <vector>

#include "grammar/byte_set.h"

namespace tutti::grammar {

/// Immutable. States are numbers of its own; 0 is the first one.
class Automaton {
 public:
  static constexpr uint32_t kDead = UINT32_MAX;

  virtual ~Automaton() = default;
  /// kDead if no text that goes on so is accepted.
  virtual uint32_t step(uint32_t state, uint8_t byte) const = 0;
  virtual bool accepts(uint32_t state) const = 0;
  /// Bytes in none of these, and bytes in the same ones, are alike in every state.
  virtual std::vector<ByteSet> byte_sets() const = 0;
};

}  // namespace tutti::grammar
