#include "supervise/line_buffer.h"

#include <algorithm>
#include <utility>

namespace tutti {

std::vector<std::string> LineBuffer::feed(std::string_view bytes) {
  std::vector<std::string> lines;
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const bool whole = end != std::string_view::npos;
    const std::string_view part = bytes.substr(0, end);
    const size_t taken = std::min(part.size(), longest_ - open_.size());
    open_ += part.substr(0, taken);
    const bool cut = taken < part.size();
    bytes.remove_prefix(taken + (whole && !cut ? 1 : 0));
    if ((whole && !cut) || open_.size() == longest_) {
      lines.push_back(std::exchange(open_, {}));
    }
  }
  return lines;
}

std::string LineBuffer::rest() {
  return std::exchange(open_, {});
}

void LogTail::add(std::string line) {
  lines_.push_back(std::move(line));
  if (lines_.size() > kLines) {
    lines_.pop_front();
  }
}

}  // namespace tutti
