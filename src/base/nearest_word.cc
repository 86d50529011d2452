#include "base/nearest_word.h"

#include <algorithm>
#include <utility>

namespace tutti {

size_t typing_distance(std::string_view a, std::string_view b) {
  // Rows of the table of distances between beginnings: two back, one back, this.
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, last);
    std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

std::vector<std::string> nearest_words(std::string_view typed, std::span<const std::string> known) {
  constexpr size_t kLongest =
      200;  // nobody mistypes a word of this length, and the table is square
  if (typed.size() > kLongest) {
    return {};
  }
  const size_t most = typed.size() > 7 ? 2 : 1;
  std::vector<std::pair<size_t, std::string>> close;
  for (const std::string& word : known) {
    if (const size_t distance = typing_distance(typed, word); distance <= most) {
      close.emplace_back(distance, word);
    }
  }
  std::stable_sort(
      close.begin(), close.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> out;
  for (auto& [distance, word] : close) {
    out.push_back(std::move(word));
  }
  return out;
}

}  // namespace tutti
