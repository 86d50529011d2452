#include "inventory/system.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/ascii.h"
#include "base/file.h"

namespace tutti {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kMaxFileBytes = int64_t{4} << 20;  // /proc/*/maps of a large program

std::optional<int64_t> process_limit(LimitKind kind) {
  const auto resource = kind == LimitKind::kMemlock     ? RLIMIT_MEMLOCK
                        : kind == LimitKind::kOpenFiles ? RLIMIT_NOFILE
                        : kind == LimitKind::kStack     ? RLIMIT_STACK
                                                        : RLIMIT_NPROC;
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
  return FileSystemSize{.size_bytes = bytes(stat.f_blocks),
                        .free_bytes = bytes(stat.f_bavail),
                        .read_only = (stat.f_flag & ST_RDONLY) != 0};
}

int error_of_opening(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) {
    return errno;
  }
  close(file);
  return 0;
}

// Each read gives one record: "4,1021,88,-;text", with further lines of it below.
std::optional<std::vector<std::string>> lines_of_kernel_log() {
  constexpr size_t kMostRecords = 1 << 17;
  const int file = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) {
    return std::nullopt;
  }
  std::vector<std::string> lines;
  std::array<char, 8192> record{};
  for (size_t i = 0; i < kMostRecords; ++i) {
    const ssize_t got = ::read(file, record.data(), record.size());
    if (got > 0) {
      lines.emplace_back(record.data(), static_cast<size_t>(got));
    } else if (got == 0 || errno != EPIPE) {  // EPIPE: older records were overwritten meanwhile
      break;
    }
  }
  close(file);
  return lines;
}

std::optional<bool> numa_calls_allowed() {
  int mode = 0;
  if (syscall(SYS_get_mempolicy, &mode, nullptr, 0, nullptr, 0) == 0) {
    return true;
  }
  return errno == EPERM ? std::optional(false) : std::nullopt;
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

std::optional<std::string> System::read_bytes(std::string_view file) const {
  Result<std::string> content = read_file(path(file), kMaxFileBytes);
  return content.ok() ? std::optional(std::move(content).value()) : std::nullopt;
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
  return {.limit = process_limit,
          .file_system = size_of_file_system,
          .open_error = error_of_opening,
          .kernel_log = lines_of_kernel_log,
          .numa_calls = numa_calls_allowed};
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
