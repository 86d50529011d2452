// The characters that byte-level merging may take whole from the start: fewer symbols and merges
// for all text that is not ASCII, with the same ids.
//
// Let R(d) be the largest rank among the merges that make one token of the bytes of d alone. At a
// place in the text, starting with d as one symbol changes no result if
//  1. every merge that joins a proper prefix of d to the byte before it, or a proper suffix of d to
//     the byte after it, has a rank above R(d);
//  2. every merge of a token that contains d has a rank above R(d).
// For as long as d is not complete, one of its own merges waits, so that whatever is merged before
// has a rank of at most R(d): by 1 it leaves the bytes of d among themselves, by 2 it does not
// touch a token with d, and so it happens in the same order whether d is complete or not. This
// holds for each such character by itself. Merge lists that come from training satisfy 2
// throughout. 1 fails at some places only: after a space, say, where " \xE5" is a token.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/utf8.h"

namespace tutti {

/// Immutable once made by WholeCharactersFinder; empty by default.
class WholeCharacters {
 public:
  /// The token to start with for character `c` at text[at], or -1: start with its bytes.
  int32_t find(std::string_view text, size_t at, const Utf8Char& c) const {
    if (c.code >= entries_.size()) {
      return -1;
    }
    const Entry& entry = entries_[c.code];
    if (entry.token < 0 || entry.guard == 0) {
      return entry.token;
    }
    const Guard& guard = guards_[entry.guard];
    const size_t end = at + static_cast<size_t>(c.length);
    const bool apart = (at == 0 || !guard.before.has(text[at - 1])) &&
                       (end == text.size() || !guard.after.has(text[end]));
    return apart ? entry.token : -1;
  }

 private:
  friend class WholeCharactersFinder;

  struct ByteSet {
    std::array<uint64_t, 4> words{};

    bool has(char byte) const {
      const auto b = static_cast<unsigned char>(byte);
      return (words[b / 64] >> (b % 64) & 1U) != 0;
    }

    void add(uint8_t byte) { words[byte / 64] |= uint64_t{1} << (byte % 64); }

    auto operator<=>(const ByteSet&) const = default;
  };

  /// Neighbours beside which condition 1 does not hold.
  struct Guard {
    ByteSet before;
    ByteSet after;

    auto operator<=>(const Guard&) const = default;
  };

  struct Entry {
    int32_t token = -1;
    uint32_t guard = 0;  ///< in guards_; 0: holds beside any neighbour
  };

  std::vector<Entry> entries_;  // by code point, below U+10000
  std::vector<Guard> guards_;
};

}  // namespace tutti
