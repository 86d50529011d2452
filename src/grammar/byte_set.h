// A set of bytes.
#pragma once
#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace tutti::grammar {

class ByteSet {
 public:
  constexpr ByteSet() = default;

  static constexpr ByteSet range(uint8_t first, uint8_t last) {
    ByteSet set;
    for (int byte = first; byte <= last; ++byte) {
      set.add(static_cast<uint8_t>(byte));
    }
    return set;
  }

  static constexpr ByteSet of(uint8_t byte) { return range(byte, byte); }

  static constexpr ByteSet all() { return range(0, 255); }

  constexpr void add(uint8_t byte) { words_[byte >> 6U] |= uint64_t{1} << (byte & 63U); }

  constexpr bool contains(uint8_t byte) const {
    return (words_[byte >> 6U] >> (byte & 63U) & 1U) != 0;
  }

  constexpr bool empty() const { return *this == ByteSet(); }

  constexpr ByteSet operator|(const ByteSet& other) const {
    ByteSet out = *this;
    for (size_t i = 0; i < words_.size(); ++i) {
      out.words_[i] |= other.words_[i];
    }
    return out;
  }

  constexpr ByteSet operator&(const ByteSet& other) const {
    ByteSet out = *this;
    for (size_t i = 0; i < words_.size(); ++i) {
      out.words_[i] &= other.words_[i];
    }
    return out;
  }

  constexpr auto operator<=>(const ByteSet&) const = default;

  const std::array<uint64_t, 4>& words() const { return words_; }

 private:
  std::array<uint64_t, 4> words_{};
};

}  // namespace tutti::grammar
