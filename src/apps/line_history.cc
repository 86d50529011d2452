#include "apps/line_history.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"

namespace tutti {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostFileBytes = int64_t{1} << 26;

std::string as_record(const std::string& line) {
  std::string out;
  append_json_string(out, line);
  out.push_back('\n');
  return out;
}

/// In one write, so that chats that add at the same time do not mix.
bool append_to(const std::string& path, std::string_view text) {
  const int file = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) {
    return false;
  }
  const ssize_t written = write(file, text.data(), text.size());
  close(file);
  return written == static_cast<ssize_t>(text.size());
}

}  // namespace

LineHistory::LineHistory(std::string path) : path_(std::move(path)) {
  if (path_.empty() || !file_exists(path_)) {
    return;
  }
  const Result<std::string> text = read_file(path_, kMostFileBytes);
  if (!text.ok()) {
    return;
  }
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::string_view record = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), record.size() + 1));
    const Result<Json> line = parse_json(record);
    if (line.ok() && line->is_string()) {
      lines_.push_back(line->as_string());
    }
  }
  const size_t found = lines_.size();
  if (found <= kMostLines) {
    return;
  }
  lines_.erase(lines_.begin(), lines_.end() - kMostLines);
  if (found < 2 * kMostLines) {
    return;
  }
  std::string kept;
  for (const std::string& line : lines_) {
    kept += as_record(line);
  }
  const std::string next = fmt::format("{}.{}", path_, getpid());
  std::error_code ec;
  if (append_to(next, kept)) {
    fs::rename(next, path_, ec);
  } else {
    fs::remove(next, ec);
  }
}

void LineHistory::add(const std::string& line) {
  const bool again = !lines_.empty() && lines_.back() == line;
  if (path_.empty() || line.size() > kMostBytes || again || !is_valid_utf8(line)) {
    return;
  }
  lines_.push_back(line);
  std::error_code ec;
  fs::create_directories(fs::path(path_).parent_path(), ec);
  append_to(path_, as_record(line));
}

}  // namespace tutti
