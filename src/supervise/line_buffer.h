// Lines from bytes that come in any pieces, and the last lines of a log.
#pragma once
#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

class LineBuffer {
 public:
  /// A longer line is cut into several.
  explicit LineBuffer(size_t longest = 16 << 10) : longest_(longest) {}

  /// The lines that are complete now, without their ends.
  std::vector<std::string> feed(std::string_view bytes);

  /// What came after the last line's end; then it is gone.
  std::string rest();

 private:
  size_t longest_;
  std::string open_;
};

/// The last lines, and no more of them than fit into a reply.
class LogTail {
 public:
  static constexpr size_t kLines = 200;

  void add(std::string line);

  std::vector<std::string> lines() const { return {lines_.begin(), lines_.end()}; }

  void clear() { lines_.clear(); }

 private:
  std::deque<std::string> lines_;
};

}  // namespace tutti
