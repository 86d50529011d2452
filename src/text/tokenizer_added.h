// Added tokens of tokenizer.json ("<think>", "<|im_end|>"): found in the text before anything else
// happens to it.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/normalizer.h"
#include "text/unicode_regex.h"

namespace tutti {

/// Fields of one entry, named as in the file.
struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool single_word = false;  ///< not inside a word
  bool lstrip = false;       ///< swallows white space before it
  bool rstrip = false;       ///< swallows white space after it
  bool normalized = false;   ///< found in normalised text
  bool special = false;      ///< dropped by decoding with skip_special
};

/// A stretch of text with one rule for added tokens.
struct TextRegion {
  TextRange range;
  bool parse_special = true;
};

/// Immutable; shared by threads.
class AddedTokens {
 public:
  /// The "added_tokens" array. Refuses empty and very long contents, bad and repeated ids.
  static Result<AddedTokens> from_json(const Json* json,
                                       const Normalizer& normalizer,
                                       const std::string& where);

  struct Match {
    TextRange range;  ///< with the white space it swallowed
    int32_t id = -1;
  };

  enum class Pass {
    kRaw,        ///< tokens with normalized = false, on the text as it came
    kNormalized  ///< the others, on normalised text between the first pass's matches
  };

  /// Replaces `matches` with the leftmost-longest, non-overlapping matches in `text`.
  /// `regions` cover the text in order. A token is found only inside one region that parses
  /// special tokens; tokens of white space alone are ordinary text pieces and found everywhere.
  void find(Pass pass,
            std::string_view text,
            std::span<const TextRegion> regions,
            std::vector<Match>& matches) const;

  std::span<const AddedToken> tokens() const { return tokens_; }

  const AddedToken* by_id(int32_t id) const;
  const AddedToken* by_content(std::string_view content) const;

 private:
  // Byte trie; the edges of a node are adjacent and sorted by byte.
  struct Node {
    int32_t token = -1;  ///< position in tokens_
    uint32_t first_edge = 0;
    uint32_t edge_count = 0;
  };

  struct Edge {
    uint8_t byte = 0;
    uint32_t node = 0;
  };

  struct Trie {
    std::vector<Node> nodes;
    std::vector<Edge> edges;
    std::array<uint32_t, 256> root{};  ///< node after one byte, 0: none
    bool has_plain = false;            ///< some token is white space alone
  };

  struct Key {
    std::string text;
    int32_t token = -1;
  };

  static Trie build_trie(std::vector<Key> keys, const std::vector<bool>& plain);
  static void add_children(Trie& trie, uint32_t node, std::span<const Key> keys, size_t depth);
  std::optional<Match> match_at(const Trie& trie,
                                std::string_view text,
                                uint32_t begin,
                                uint32_t special_limit) const;
  bool apply_rules(std::string_view text, uint32_t done, Match& match) const;

  std::vector<AddedToken> tokens_;
  std::vector<bool> plain_;  // by position in tokens_: white space alone
  std::unordered_map<int32_t, size_t> ids_;
  std::unordered_map<std::string, size_t> contents_;
  Trie raw_;
  Trie normalized_;
};

}  // namespace tutti
