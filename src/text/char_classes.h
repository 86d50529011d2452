// Classes of characters that the pre-tokenizer patterns of the known model families ask about, as
// a table: one load for an ASCII byte, two for another character.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tutti {

/// Bits of a character's class. None set: control, format, private and unassigned characters.
using CharBits = uint16_t;

inline constexpr CharBits kLetter = 1;       // \p{L}
inline constexpr CharBits kMark = 2;         // \p{M}
inline constexpr CharBits kNumber = 4;       // \p{N}
inline constexpr CharBits kPunctuation = 8;  // \p{P} or \p{S}
inline constexpr CharBits kWhiteSpace = 16;  // \s: White_Space
inline constexpr CharBits kLineEnd = 32;     // CR, LF; also kWhiteSpace
inline constexpr CharBits kCjk = 64;         // see CharTable::deepseek()
inline constexpr CharBits kHan = 256;        // \p{Han}; this and the next two: see words()
inline constexpr CharBits kCapital = 512;    // \p{Lu}, \p{Lt}
inline constexpr CharBits kSmall = 1024;     // \p{Ll}
inline constexpr CharBits kMultiByte = 128;  // in CharTable::of_byte: look at the whole character

/// Immutable. The tables are made on first use, in some 20 ms, and shared by all tokenizers.
class CharTable {
 public:
  /// Classes as the translated patterns of UnicodeRegex see them, made by asking it: so the
  /// hand-written splitters cannot disagree with PCRE2 about a character.
  static const CharTable& plain();

  /// With Chinese, capital and small letters told apart.
  static const CharTable& words();

  /// For DeepSeek, whose patterns take runs of U+4E00..9FA5 and U+3040..30FF apart from the rest:
  /// the classes outside such runs, where these characters have kCjk and nothing else.
  static const CharTable& deepseek();

  /// The classes inside such runs, where all other characters have kCjk and nothing else.
  static const CharTable& deepseek_cjk();

  /// `byte`: first byte of a character. kMultiByte from 0x80 on.
  CharBits of_byte(uint8_t byte) const { return bytes_[byte]; }

  CharBits of(char32_t code) const {
    const size_t block = code < kEnd ? block_of_[code >> kBlockBits] : 0;
    return blocks_[block << kBlockBits | (code & (kBlockSize - 1))];
  }

 private:
  static constexpr uint32_t kBlockBits = 8;
  static constexpr uint32_t kBlockSize = 1U << kBlockBits;
  static constexpr char32_t kEnd = 0x110000;

  explicit CharTable(const std::vector<CharBits>& by_code);

  std::array<CharBits, 256> bytes_{};
  std::vector<uint16_t> block_of_;  // by code / 256
  std::vector<CharBits> blocks_;    // different blocks once each
};

}  // namespace tutti
