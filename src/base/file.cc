#include "base/file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

namespace tutti {

namespace fs = std::filesystem;

Result<std::string> read_file(const std::string& path, int64_t max_bytes) {
  std::error_code ec;
  const fs::file_status status = fs::status(path, ec);
  if (status.type() == fs::file_type::not_found) {
    return error(StatusCode::kNotFound, "{}: no such file", path);
  }
  if (status.type() != fs::file_type::regular) {
    return invalid("{}: is not a regular file", path);
  }
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) {
    return error(
        StatusCode::kNotFound, "{}: cannot open: {}", path, std::generic_category().message(errno));
  }
  std::string content;
  char buffer[65536];
  size_t got = 0;
  while ((got = std::fread(buffer, 1, sizeof buffer, file.get())) > 0) {
    if (static_cast<int64_t>(content.size() + got) > max_bytes) {
      return error(
          StatusCode::kPayloadTooLarge, "{}: larger than the limit of {} bytes", path, max_bytes);
    }
    content.append(buffer, got);
  }
  if (std::ferror(file.get()) != 0) {
    return error(
        StatusCode::kCorrupt, "{}: read error: {}", path, std::generic_category().message(errno));
  }
  return content;
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
