// Sets of characters, and how they are written in bytes: as they are, or inside a JSON string.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "grammar/regex_pool.h"

namespace tutti::grammar {

inline constexpr char32_t kMaxChar = 0x10FFFF;

/// Of Unicode scalar values: surrogates are in no set.
class CharSet {
 public:
  struct Range {
    char32_t first = 0;
    char32_t last = 0;

    bool operator==(const Range&) const = default;
  };

  CharSet() = default;
  /// In any order; may overlap.
  explicit CharSet(std::vector<Range> ranges);

  static CharSet of(char32_t code) { return CharSet({{code, code}}); }

  static CharSet all() { return CharSet({{0, kMaxChar}}); }

  /// Ascending, disjoint.
  const std::vector<Range>& ranges() const& { return ranges_; }

  std::vector<Range> ranges() && { return std::move(ranges_); }

  bool empty() const { return ranges_.empty(); }

  bool contains(char32_t code) const;
  CharSet operator|(const CharSet& other) const;
  CharSet operator&(const CharSet& other) const;
  CharSet complement() const;

 private:
  std::vector<Range> ranges_;
};

/// How the characters of a text are written.
enum class Writing {
  kPlain,       ///< UTF-8
  kJsonString,  ///< inside the quotes of a JSON string, each character in its usual form
};

/// One character of the set.
ExprId one_of(RegexPool& pool, const CharSet& set, Writing writing);

/// Any character of a JSON string in any form that JSON has for it; no half surrogates.
ExprId any_json_char(RegexPool& pool);

}  // namespace tutti::grammar
