// Where facts about the host come from, so that tests can describe any machine.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

enum class LimitKind { kMemlock, kOpenFiles, kStack, kProcesses };

struct FileSystemSize {
  int64_t size_bytes = 0;
  int64_t free_bytes = 0;  ///< for this user
  bool read_only = false;
};

/// Members that are empty tell nothing.
struct System {
  std::string root = "/";  ///< where /proc, /sys, /dev and /run are looked for
  std::map<std::string, std::string> environment;
  std::function<std::optional<int64_t>(LimitKind)> limit;  ///< soft; -1: unlimited
  std::function<std::optional<FileSystemSize>(const std::string& path)> file_system;
  /// errno of opening a device for reading and writing; 0: it opens.
  std::function<int(const std::string& path)> open_error;
  /// Lines of the kernel's log; empty: they may not be read.
  std::function<std::optional<std::vector<std::string>>()> kernel_log;
  /// Whether the system calls for NUMA nodes are allowed.
  std::function<std::optional<bool>()> numa_calls;

  /// `path`, such as "/proc/meminfo", below the root.
  std::string path(std::string_view path) const;
  /// Content of a small file without white space at its end; empty if it cannot be read.
  std::optional<std::string> read(std::string_view path) const;
  /// The same as it is, byte for byte.
  std::optional<std::string> read_bytes(std::string_view path) const;
  bool exists(std::string_view path) const;
  /// Names in a directory, sorted.
  std::vector<std::string> list(std::string_view directory) const;
};

/// This machine, with no environment: only src/apps reads that.
System this_system();

// Shared by the sources.

/// A whole decimal number, at most INT64_MAX.
std::optional<int64_t> to_int(std::string_view text);
std::vector<std::string_view> split(std::string_view text, char separator);

}  // namespace tutti
