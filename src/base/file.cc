#include "base/file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

namespace tutti {

namespace fs = std::filesystem;

namespace {

// Of pipes and devices, which may have no end.
constexpr int64_t kMaxUnsizedBytes = int64_t{1} << 28;

// name: of the file, for errors.
Result<std::string> read_all(FILE* file, const std::string& name, int64_t max_bytes) {
  std::string content;
  char buffer[65536];
  size_t got = 0;
  while ((got = std::fread(buffer, 1, sizeof buffer, file)) > 0) {
    if (static_cast<int64_t>(content.size() + got) > max_bytes) {
      return error(
          StatusCode::kPayloadTooLarge, "{}: larger than the limit of {} bytes", name, max_bytes);
    }
    content.append(buffer, got);
  }
  if (std::ferror(file) != 0) {
    return error(
        StatusCode::kCorrupt, "{}: read error: {}", name, std::generic_category().message(errno));
  }
  return content;
}

Result<std::string> open_and_read(const std::string& path, int64_t max_bytes) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) {
    return error(
        StatusCode::kNotFound, "{}: cannot open: {}", path, std::generic_category().message(errno));
  }
  return read_all(file.get(), path, max_bytes);
}

// `status` of what exists; else why there is nothing to read.
Result<fs::file_status> status_of(const std::string& path) {
  std::error_code ec;
  const fs::file_status status = fs::status(path, ec);
  if (status.type() == fs::file_type::not_found) {
    return error(StatusCode::kNotFound, "{}: no such file", path);
  }
  return status;
}

}  // namespace

Result<std::string> read_file(const std::string& path, int64_t max_bytes) {
  TUTTI_TRY(const fs::file_status status, status_of(path));
  if (status.type() != fs::file_type::regular) {
    return invalid("{}: is not a regular file", path);
  }
  return open_and_read(path, max_bytes);
}

Result<std::string> read_input(const std::string& path, int64_t max_bytes) {
  const int64_t max_unsized_bytes = std::min(max_bytes, kMaxUnsizedBytes);
  if (path == "-") {
    return read_all(stdin, input_name(path), max_unsized_bytes);
  }
  TUTTI_TRY(const fs::file_status status, status_of(path));
  if (status.type() == fs::file_type::directory) {
    return invalid("{}: is a directory, wanted a file", path);
  }
  const bool sized = status.type() == fs::file_type::regular;
  return open_and_read(path, sized ? max_bytes : max_unsized_bytes);
}

std::string input_name(const std::string& path) {
  return path == "-" ? "standard input" : path;
}

bool file_exists(const std::string& path) {
  std::error_code ec;
  return fs::exists(path, ec);
}

bool is_directory(const std::string& path) {
  std::error_code ec;
  return fs::is_directory(path, ec);
}

std::string join_path(const std::string& directory, const std::string& name) {
  return (fs::path(directory) / name).string();
}

}  // namespace tutti
