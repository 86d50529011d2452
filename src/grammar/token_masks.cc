#include "grammar/token_masks.h"

#include <algorithm>
#include <set>

namespace tutti::grammar {

namespace {

void set_bit(std::span<uint32_t> mask, int32_t token) {
  mask[static_cast<size_t>(token) / 32] |= 1U << (static_cast<uint32_t>(token) % 32);
}

struct ByteRange {
  int first;
  int last;
};

// Characters that JSON strings hold as they are, as sequences of ranges of bytes.
const std::vector<std::vector<ByteRange>>& plain_sequences() {
  static const std::vector<std::vector<ByteRange>> sequences = {
      {{0x20, 0x21}},
      {{0x23, 0x5B}},
      {{0x5D, 0x7F}},
      {{0xC2, 0xDF}, {0x80, 0xBF}},
      {{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}},
      {{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}},
      {{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}},
      {{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}},
      {{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
      {{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
      {{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}},
  };
  return sequences;
}

void sort_unique(std::vector<StateId>& states) {
  std::ranges::sort(states);
  const auto repeated = std::ranges::unique(states);
  states.erase(repeated.begin(), repeated.end());
}

// Numbers of tries.
constexpr uint8_t kPlainTrie = 0;
constexpr uint8_t kOtherTrie = 1;
constexpr uint8_t kLongerTrie = 2;

}  // namespace

TokenMasks::TokenMasks(Machine& machine, const Vocabulary& vocabulary, const GrammarBudget& budget)
    : machine_(machine), vocabulary_(vocabulary), budget_(budget) {
  for (const auto& sequence : plain_sequences()) {
    std::vector<std::vector<uint8_t>> of_classes;
    for (const ByteRange& range : sequence) {
      std::set<uint8_t> seen;
      std::vector<uint8_t> bytes;
      for (int byte = range.first; byte <= range.last; ++byte) {
        if (seen.insert(machine_.dfa().class_of(static_cast<uint8_t>(byte))).second) {
          bytes.push_back(static_cast<uint8_t>(byte));
        }
      }
      of_classes.push_back(std::move(bytes));
    }
    plain_sequences_.push_back(std::move(of_classes));
  }
}

const TokenTrie& TokenMasks::trie(uint8_t which) const {
  return which == kPlainTrie   ? vocabulary_.plain()
         : which == kOtherTrie ? vocabulary_.other()
                               : vocabulary_.longer();
}

void TokenMasks::fill(PlaceId place, std::span<uint32_t> mask) {
  const auto of_place = machine_.entries(place);
  const std::vector<Entry> entries(of_place.begin(), of_place.end());  // the machine may grow
  for (const Entry& entry : entries) {
    for (const Length length : {Length::kShort, Length::kLong}) {
      // Short tokens do not tell a count of a hundred from one of a thousand.
      const uint32_t bytes =
          length == Length::kShort ? Vocabulary::kMaxBytes : vocabulary_.longer().max_depth();
      const StateId state = machine_.dfa().alike(entry.state, bytes);
      const StateMask& inside = state_mask(state, length);
      for (size_t i = 0; i < inside.bits.size(); ++i) {
        mask[i] |= inside.bits[i];
      }
      for (const int32_t token : inside.tokens) {
        set_bit(mask, token);
      }
      if (entry.rest != 0 && !inside.tails.empty()) {
        for (const int32_t token : tail_tokens({state, entry.rest, length})) {
          set_bit(mask, token);
        }
      }
    }
  }
  forget_if_many();
}

void TokenMasks::forget_if_many() {
  if (bytes_ > budget_.mask_bytes) {
    state_masks_.clear();
    tails_.clear();
    plain_steps_.clear();
    bytes_ = 0;
  }
}

// Where the state goes by any one plain character.
const TokenMasks::PlainStep& TokenMasks::plain_step(StateId from) {
  const auto known = plain_steps_.find(from);
  if (known != plain_steps_.end()) {
    return known->second;
  }
  LazyDfa& dfa = machine_.dfa();
  PlainStep step;
  for (const auto& sequence : plain_sequences_) {
    std::vector<StateId> here{from};
    for (const std::vector<uint8_t>& bytes : sequence) {
      std::vector<StateId> next;
      for (const StateId state : here) {
        for (const uint8_t byte : bytes) {
          next.push_back(dfa.step(state, byte));
        }
      }
      sort_unique(next);
      step.some_die = std::erase(next, kDeadState) > 0 || step.some_die;
      step.may_end = step.may_end ||
                     std::ranges::any_of(next, [&](StateId state) { return dfa.accepts(state); });
      here = std::move(next);
    }
    step.next.insert(step.next.end(), here.begin(), here.end());
  }
  sort_unique(step.next);
  bytes_ += 64 + step.next.size() * sizeof(StateId);
  return plain_steps_[from] = std::move(step);
}

TokenMasks::PlainReach TokenMasks::plain_reach(StateId state) {
  PlainReach reach;
  std::vector<StateId> here{state};
  for (; reach.chars < Vocabulary::kMaxPlain; ++reach.chars) {
    std::vector<StateId> next;
    bool some_die = false;
    bool may_end = false;
    for (const StateId one : here) {
      const PlainStep& step = plain_step(one);
      some_die = some_die || step.some_die;
      may_end = may_end || step.may_end;
      next.insert(next.end(), step.next.begin(), step.next.end());
    }
    sort_unique(next);
    if (some_die || may_end || next.size() > 64) {
      reach.no_more = next.empty() && !may_end;
      return reach;
    }
    if (next == here) {
      reach.chars = Vocabulary::kMaxPlain;
      break;
    }
    here = std::move(next);
  }
  reach.no_more = true;  // there are no longer ones
  return reach;
}

void TokenMasks::walk(uint8_t which, StateId state, StateMask& out) {
  const TokenTrie& trie = this->trie(which);
  LazyDfa& dfa = machine_.dfa();
  path_.resize(std::max<size_t>(path_.size(), trie.max_depth() + 1));
  path_[0] = state;
  const uint32_t size = trie.size();
  for (uint32_t node = 0; node < size;) {
    const uint32_t depth = trie.depth(node);
    const StateId next = dfa.step(path_[depth - 1], trie.byte(node));
    if (next == kDeadState) {
      node = trie.skip(node);
      continue;
    }
    const auto tokens = trie.tokens(node);
    out.tokens.insert(out.tokens.end(), tokens.begin(), tokens.end());
    if (dfa.accepts(next)) {
      for (uint32_t child = node + 1; child < trie.skip(node); child = trie.skip(child)) {
        out.tails.push_back({.byte = trie.byte(child), .trie = which, .node = child});
      }
    }
    path_[depth] = next;
    node = dfa.goes_on(next) ? node + 1 : trie.skip(node);
  }
}

void TokenMasks::judge_short(StateId state, StateMask& out) {
  const PlainReach reach = plain_reach(state);
  walk(kOtherTrie, state, out);
  if (!reach.no_more) {
    walk(kPlainTrie, state, out);
  } else if (reach.chars > 0) {
    const auto bits = vocabulary_.plain_mask(reach.chars);
    out.bits.assign(bits.begin(), bits.end());
  }
}

const TokenMasks::StateMask& TokenMasks::state_mask(StateId state, Length length) {
  const auto known = state_masks_.find({state, length});
  if (known != state_masks_.end()) {
    return known->second;
  }
  StateMask made;
  if (length == Length::kShort) {
    judge_short(state, made);
  } else {
    walk(kLongerTrie, state, made);
  }
  if (made.bits.empty() && made.tokens.size() > vocabulary_.mask_words() / 2) {
    made.bits.assign(vocabulary_.mask_words(), 0);
  }
  if (!made.bits.empty()) {
    for (const int32_t token : made.tokens) {
      set_bit(made.bits, token);
    }
    made.tokens.clear();
  }
  made.tokens.shrink_to_fit();
  std::ranges::stable_sort(made.tails, {}, &Tail::byte);
  made.tails.shrink_to_fit();
  bytes_ += 128 + 4 * (made.bits.size() + made.tokens.size()) + sizeof(Tail) * made.tails.size();
  return state_masks_[{state, length}] = std::move(made);
}

void TokenMasks::walk_places(const TokenTrie& trie,
                             uint32_t root,
                             PlaceId place,
                             std::vector<int32_t>& tokens) {
  path_.resize(std::max<size_t>(path_.size(), trie.max_depth() + 1));
  path_[trie.depth(root) - 1] = place;
  for (uint32_t node = root; node < trie.skip(root);) {
    const uint32_t depth = trie.depth(node);
    const PlaceId next = machine_.step(path_[depth - 1], trie.byte(node));
    if (next == Machine::kNowhere) {
      node = trie.skip(node);
      continue;
    }
    const auto here = trie.tokens(node);
    tokens.insert(tokens.end(), here.begin(), here.end());
    path_[depth] = next;
    ++node;
  }
}

const std::vector<int32_t>& TokenMasks::tail_tokens(const Key& key) {
  const auto known = tails_.find(key);
  if (known != tails_.end()) {
    return known->second;
  }
  const std::vector<Tail>& tails = state_masks_.at({key.state, key.length}).tails;
  std::vector<int32_t> tokens;
  const PlaceId begun = machine_.begin_of(key.rest);
  for (auto tail = tails.begin(); tail != tails.end();) {
    const auto end = std::find_if(
        tail, tails.end(), [&](const Tail& other) { return other.byte != tail->byte; });
    if (machine_.step(begun, tail->byte) != Machine::kNowhere) {
      for (; tail != end; ++tail) {
        walk_places(trie(tail->trie), tail->node, begun, tokens);
      }
    }
    tail = end;
  }
  tokens.shrink_to_fit();
  bytes_ += 96 + tokens.size() * sizeof(int32_t);
  return tails_[key] = std::move(tokens);
}

}  // namespace tutti::grammar
