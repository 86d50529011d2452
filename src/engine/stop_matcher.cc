#include "engine/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace tutti {

StopMatcher::StopMatcher(const std::vector<std::string>& stops) {
  for (const std::string& stop : stops) {
    TUTTI_CHECK(!stop.empty());
    Pattern pattern{.text = stop, .fallback = std::vector<size_t>(stop.size() + 1, 0)};
    for (size_t length = 2, border = 0; length <= stop.size(); ++length) {
      while (border > 0 && stop[border] != stop[length - 1]) {
        border = pattern.fallback[border];
      }
      border += stop[border] == stop[length - 1] ? 1 : 0;
      pattern.fallback[length] = border;
    }
    patterns_.push_back(std::move(pattern));
  }
}

/// Length of the longest prefix of the pattern that the text ends with after `next`.
size_t StopMatcher::advance(Pattern& pattern, char next) const {
  size_t length = pattern.matched;
  while (length > 0 && pattern.text[length] != next) {
    length = pattern.fallback[length];
  }
  length += pattern.text[length] == next ? 1 : 0;
  // What follows a whole match that did not count continues its longest border.
  pattern.matched = length == pattern.text.size() ? pattern.fallback[length] : length;
  return length;
}

std::string StopMatcher::push(std::string_view text, bool may_end) {
  if (matched()) {
    return {};
  }
  if (patterns_.empty()) {
    return std::string(text);
  }
  for (const char next : text) {
    held_.push_back(next);
    size_t match = 0;
    for (Pattern& pattern : patterns_) {
      if (advance(pattern, next) == pattern.text.size()) {
        match = std::max(match, pattern.text.size());
      }
    }
    if (match > 0 && may_end) {
      match_ = held_.substr(held_.size() - match);
      held_.resize(held_.size() - match);
      return std::exchange(held_, {});
    }
  }
  size_t hold = 0;
  for (const Pattern& pattern : patterns_) {
    hold = std::max(hold, pattern.matched);
  }
  std::string out = held_.substr(0, held_.size() - hold);
  held_.erase(0, out.size());
  return out;
}

std::string StopMatcher::finish() {
  return matched() ? std::string() : std::exchange(held_, {});
}

}  // namespace tutti
