// What a mistyped word may have meant.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

/// Fewest insertions, deletions, substitutions and swaps of neighbours that make one of the other,
/// where no place is changed twice (optimal string alignment).
size_t typing_distance(std::string_view a, std::string_view b);

/// Those of `known` that a slip makes `typed` of, closest first: at most one change in words of up
/// to seven bytes, two in longer ones. Empty: none is close.
std::vector<std::string> nearest_words(std::string_view typed, std::span<const std::string> known);

}  // namespace tutti
