// The deterministic automaton of all terminals of a grammar, made state by state as texts reach
// them.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "grammar/regex_pool.h"

namespace tutti::grammar {

/// Of one automaton.
using StateId = uint32_t;

/// From here no text leads to one of the terminal's.
inline constexpr StateId kDeadState = 0;

/// Bounds the work and memory of one grammar, whatever it is.
struct GrammarBudget {
  size_t regex_nodes = 2'000'000;  ///< of RegexPool::size()
  size_t dfa_states = 200'000;
  size_t dfa_cells = 24'000'000;  ///< states times byte classes
  size_t continuations = 1'000'000;
  size_t entries = 4096;                  ///< places in the grammar that one text may be at
  size_t mask_bytes = size_t{24} << 20U;  ///< kept for the next time; more are made anew
};

class LazyDfa {
 public:
  /// Takes the expressions made so far; from now on only this makes more.
  LazyDfa(std::unique_ptr<RegexPool> pool, const GrammarBudget& budget);

  /// kDeadState if the expression has no text.
  StateId state_of(ExprId expr);

  StateId step(StateId state, uint8_t byte) {
    const uint32_t next = next_[static_cast<size_t>(state) * classes_ + class_of_[byte]];
    return next != kUnknown ? next : make_step(state, byte);
  }

  /// A state like this one for all texts of up to so many bytes: the same of them lead on, and are
  /// accepted.
  StateId alike(StateId state, uint32_t bytes);

  /// Bytes of one class are alike in every state.
  uint8_t class_of(uint8_t byte) const { return class_of_[byte]; }

  /// What was read is a text of the terminal.
  bool accepts(StateId state) const { return accepts_[state] != 0; }

  /// Some byte may follow. A state that only accepts has none.
  bool goes_on(StateId state) const { return goes_on_[state] != 0; }

  /// The grammar is larger than its budget: answers may be wrong from then on.
  bool exhausted() const { return exhausted_; }

  size_t memory_bytes() const;

 private:
  static constexpr uint32_t kUnknown = UINT32_MAX;

  std::unique_ptr<RegexPool> pool_;
  const GrammarBudget budget_;
  std::array<uint8_t, 256> class_of_{};
  std::array<uint8_t, 256> byte_of_{};  // one of each class
  size_t classes_ = 1;
  std::unordered_map<ExprId, StateId> states_;
  std::vector<ExprId> exprs_;
  std::vector<uint8_t> accepts_;
  std::vector<uint8_t> goes_on_;
  std::vector<uint32_t> next_;
  std::unordered_map<uint64_t, StateId> alike_;  // by state and number of bytes
  std::unordered_map<ExprId, bool> has_text_;
  bool exhausted_ = false;

  StateId make_step(StateId state, uint8_t byte);
  bool has_text(ExprId expr);
};

}  // namespace tutti::grammar
