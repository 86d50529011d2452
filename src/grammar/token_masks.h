// Which tokens may come next at a place of a grammar.
//
// A token is judged apart from what follows its terminal: for each state of a terminal once, which
// tokens stay inside it, and where in other tokens it may end. What follows then decides about the
// rests of those only, once for each pair of state and rest. So the long work, going through the
// vocabulary, is shared by all places at which, say, a string is open.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "grammar/machine.h"
#include "grammar/vocabulary.h"

namespace tutti::grammar {

/// Not thread-safe. Both must outlive it.
class TokenMasks {
 public:
  TokenMasks(Machine& machine, const Vocabulary& vocabulary, const GrammarBudget& budget);

  /// Sets the bits of the tokens that may come at `place`. Does not clear any.
  void fill(PlaceId place, std::span<uint32_t> mask);

  size_t memory_bytes() const { return bytes_; }

 private:
  // Where a token goes on behind a terminal: the node of the byte that is not the terminal's.
  struct Tail {
    uint8_t byte = 0;
    uint8_t trie = 0;
    uint32_t node = 0;
  };

  struct StateMask {
    std::vector<uint32_t> bits;  // empty: `tokens`
    std::vector<int32_t> tokens;
    std::vector<Tail> tails;  // by byte
  };

  // How a terminal takes plain characters.
  struct PlainStep {
    std::vector<StateId> next;
    bool some_die = false;
    bool may_end = false;  // some text ends within them
  };

  struct PlainReach {
    uint32_t chars = 0;    // so many plain characters always stay inside, and may not end
    bool no_more = false;  // and one more never does
  };

  // Tokens of at most Vocabulary::kMaxBytes, and longer ones.
  enum class Length : uint8_t { kShort, kLong };

  struct Key {
    StateId state;
    RestId rest;
    Length length;

    auto operator<=>(const Key&) const = default;
  };

  const StateMask& state_mask(StateId state, Length length);
  const std::vector<int32_t>& tail_tokens(const Key& key);
  const TokenTrie& trie(uint8_t which) const;
  void judge_short(StateId state, StateMask& out);
  void walk(uint8_t which, StateId state, StateMask& out);
  void walk_places(const TokenTrie& trie,
                   uint32_t root,
                   PlaceId place,
                   std::vector<int32_t>& tokens);
  const PlainStep& plain_step(StateId state);
  PlainReach plain_reach(StateId state);
  void forget_if_many();

  Machine& machine_;
  const Vocabulary& vocabulary_;
  const GrammarBudget& budget_;
  std::map<std::pair<StateId, Length>, StateMask> state_masks_;
  std::map<Key, std::vector<int32_t>> tails_;
  std::unordered_map<StateId, PlainStep> plain_steps_;
  // Sequences of bytes that make a plain character, one byte of each class.
  std::vector<std::vector<std::vector<uint8_t>>> plain_sequences_;
  std::vector<uint32_t> path_;  // states or places by depth
  size_t bytes_ = 0;
};

}  // namespace tutti::grammar
