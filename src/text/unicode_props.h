// Character properties the tokenizers need, independent of the Unicode version of the installed
// PCRE2.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tutti {

struct CodeRange {
  char32_t first = 0;
  char32_t last = 0;
};

/// The White_Space property as ascending ranges. This is what `\s` means in tokenizer.json.
/// (PCRE2's own `\s` also counts U+180E, which changes token boundaries.)
std::span<const CodeRange> white_space_ranges();

bool is_white_space(char32_t code);

/// `\w` of the added-token rules: Alphabetic, M, Nd, Pc or Join_Control. Symbols that are
/// alphabetic (circled letters) are listed by hand, utf8proc has no such property.
bool is_word_char(char32_t code);

/// Code points that have a general category in Unicode 16.0 (what the reference implementation's
/// Oniguruma has) and none in 14.0 (the oldest PCRE2 we build with has that).
struct CategoryAddition {
  char category[3];  ///< "Lo"
  CodeRange range;
};

std::span<const CategoryAddition> unicode_additions();

/// Byte offset of the first invalid UTF-8 sequence, or nothing.
std::optional<size_t> find_invalid_utf8(std::string_view text);

}  // namespace tutti
