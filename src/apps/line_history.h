// What was typed in earlier chats: a file with one JSON string a line, the oldest first.
#pragma once
#include <string>
#include <vector>

namespace tutti {

/// Several chats may add to one file at a time. A file that cannot be read or written costs the
/// history, nothing else.
class LineHistory {
 public:
  static constexpr int kMostLines = 1000;
  /// Longer lines are left out: a paste of a whole file is not worth keeping for years.
  static constexpr size_t kMostBytes = 16384;

  /// Reads `path`, and shortens it to kMostLines if it has twice as many; "": keeps nothing.
  explicit LineHistory(std::string path);

  /// The newest kMostLines.
  const std::vector<std::string>& lines() const { return lines_; }

  /// Adds a line to the file, which only its owner may read, unless it is the one before again or
  /// no UTF-8.
  void add(const std::string& line);

 private:
  std::string path_;
  std::vector<std::string> lines_;
};

}  // namespace tutti
