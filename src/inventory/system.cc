#include "inventory/system.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include <sys/resource.h>
#include <sys/statvfs.h>

#include "base/ascii.h"
#include "base/file.h"

namespace tutti {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kMaxFileBytes = int64_t{4} << 20;  // /proc/*/maps of a large program

std::optional<int64_t> process_limit(LimitKind kind) {
  const auto resource = kind == LimitKind::kMemlock     ? RLIMIT_MEMLOCK
                        : kind == LimitKind::kOpenFiles ? RLIMIT_NOFILE
                                                        : RLIMIT_STACK;
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0) {
    return std::nullopt;
  }
  return limit.rlim_cur == RLIM_INFINITY || !std::in_range<int64_t>(limit.rlim_cur)
             ? -1
             : static_cast<int64_t>(limit.rlim_cur);
}

std::optional<FileSystemSize> size_of_file_system(const std::string& path) {
  struct statvfs stat {};

  if (statvfs(path.c_str(), &stat) != 0) {
    return std::nullopt;
  }
  const auto bytes = [&](uint64_t blocks) { return static_cast<int64_t>(blocks * stat.f_frsize); };
  return FileSystemSize{.size_bytes = bytes(stat.f_blocks), .free_bytes = bytes(stat.f_bavail)};
}

}  // namespace

std::string System::path(std::string_view path) const {
  while (path.starts_with('/')) {
    path.remove_prefix(1);
  }
  return join_path(root, std::string(path));
}

std::optional<std::string> System::read(std::string_view file) const {
  Result<std::string> content = read_file(path(file), kMaxFileBytes);
  if (!content.ok()) {
    return std::nullopt;
  }
  return std::string(trim(*content));
}

bool System::exists(std::string_view file) const {
  return file_exists(path(file));
}

std::vector<std::string> System::list(std::string_view directory) const {
  std::vector<std::string> names;
  std::error_code ec;
  // Entries may vanish while they are listed: processes do.
  for (fs::directory_iterator entry(path(directory), ec), end; !ec && entry != end;
       entry.increment(ec)) {
    names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

System this_system() {
  return {.limit = process_limit, .file_system = size_of_file_system};
}

std::optional<int64_t> to_int(std::string_view text) {
  int64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  return ec == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                               : std::nullopt;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

}  // namespace tutti
