// The tokens of a model as a grammar sees them: texts in bytes, ordered so that all that begin
// alike are judged at once.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tutti::grammar {

/// What stands for a special token in grammars and vocabularies: bytes that no text has. A grammar
/// that wants the token `id` has this as a literal.
std::string special_token_text(int32_t id);

/// A trie in preorder. Node i has the children i + 1, skip(i + 1), … up to skip(i).
class TokenTrie {
 public:
  struct Token {
    std::string_view text;
    int32_t id = 0;
  };

  explicit TokenTrie(std::vector<Token> tokens);

  uint32_t size() const { return static_cast<uint32_t>(bytes_.size()); }

  uint8_t byte(uint32_t node) const { return bytes_[node]; }

  /// From 1: number of bytes from the root.
  uint32_t depth(uint32_t node) const { return depths_[node]; }

  /// The first node that is not below this one.
  uint32_t skip(uint32_t node) const { return skips_[node]; }

  /// Tokens whose text ends here.
  std::span<const int32_t> tokens(uint32_t node) const {
    return std::span(tokens_).subspan(first_token_[node],
                                      first_token_[node + 1] - first_token_[node]);
  }

  uint32_t max_depth() const { return max_depth_; }

 private:
  std::vector<uint8_t> bytes_;
  std::vector<uint16_t> depths_;
  std::vector<uint32_t> skips_;
  std::vector<uint32_t> first_token_;  // one more than nodes
  std::vector<int32_t> tokens_;
  uint32_t max_depth_ = 0;
};

/// Immutable; shared by all grammars of a model.
class Vocabulary {
 public:
  /// Tokens of more characters are no plain ones.
  static constexpr uint32_t kMaxPlain = 24;

  /// Longer tokens are looked at by themselves: no shorter one exhausts a larger count.
  static constexpr uint32_t kMaxBytes = 32;

  /// `texts` by id; those with an empty one never come. Longer ones than 65,535 bytes neither.
  explicit Vocabulary(std::vector<std::string> texts);

  /// Number of ids.
  size_t size() const { return texts_.size(); }

  std::string_view text(int32_t id) const { return texts_[static_cast<size_t>(id)]; }

  /// Words of a mask: bit t % 32 of word t / 32 is token t.
  size_t mask_words() const { return (texts_.size() + 31) / 32; }

  /// Plain tokens: at most kMaxPlain whole characters that JSON strings hold as they are, in at
  /// most kMaxBytes. Most of a vocabulary.
  const TokenTrie& plain() const { return *plain_; }

  /// Those of at most `chars` characters as a mask; chars <= kMaxPlain.
  std::span<const uint32_t> plain_mask(uint32_t chars) const {
    return std::span(plain_masks_).subspan(chars * mask_words(), mask_words());
  }

  /// All others of at most kMaxBytes.
  const TokenTrie& other() const { return *other_; }

  /// Those of more bytes: few, and mostly runs of one character.
  const TokenTrie& longer() const { return *longer_; }

 private:
  std::vector<std::string> texts_;
  std::unique_ptr<TokenTrie> plain_;
  std::unique_ptr<TokenTrie> other_;
  std::unique_ptr<TokenTrie> longer_;
  std::vector<uint32_t> plain_masks_;
};

}  // namespace tutti::grammar
