#include "base/tuning_cache.h"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"

namespace tutti {

namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "tutti tuning 1\t";

// FNV-1a: names the file; the identity itself stands in its first line.
uint64_t hash_of(const std::string& text) {
  uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  }
  return hash;
}

bool one_line(const std::string& text) {
  return text.find_first_of("\t\r\n") == std::string::npos;
}

}  // namespace

TuningCache::TuningCache(const std::string& directory, const std::string& identity)
    : directory_(directory), identity_(identity) {
  if (directory_.empty()) {
    return;
  }
  TUTTI_CHECK(one_line(identity_));
  path_ = join_path(directory_, fmt::format("tuning-{:016x}.txt", hash_of(identity_)));
  std::ifstream file(path_);
  std::string line;
  if (!std::getline(file, line) || line != kFormat + identity_) {
    return;
  }
  while (std::getline(file, line)) {
    const size_t tab = line.find('\t');
    if (tab != std::string::npos) {
      values_[line.substr(0, tab)] = line.substr(tab + 1);
    }
  }
}

std::optional<std::string> TuningCache::find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto it = values_.find(key);
  return it == values_.end() ? std::nullopt : std::optional(it->second);
}

void TuningCache::put(const std::string& key, const std::string& value) {
  TUTTI_CHECK(one_line(key) && one_line(value));
  const std::lock_guard lock(mutex_);
  std::string& old = values_[key];
  changed_ = changed_ || old != value;
  old = value;
}

size_t TuningCache::size() const {
  const std::lock_guard lock(mutex_);
  return values_.size();
}

Status TuningCache::save() {
  const std::lock_guard lock(mutex_);
  if (path_.empty() || !changed_) {
    return ok_status();
  }
  std::error_code ec;
  fs::create_directories(directory_, ec);
  const std::string part = fmt::format("{}.{}", path_, getpid());
  std::ofstream file(part, std::ios::trunc);
  file << kFormat << identity_ << '\n';
  for (const auto& [key, value] : values_) {
    file << key << '\t' << value << '\n';
  }
  file.close();
  if (file) {
    fs::rename(part, path_, ec);
  }
  if (!file || ec) {
    std::error_code ignored;
    fs::remove(part, ignored);
    return error(StatusCode::kUnavailable,
                 "{}: what was measured cannot be kept{}{}; the next start measures it again",
                 path_,
                 ec ? ": " : "",
                 ec ? ec.message() : "");
  }
  changed_ = false;
  return ok_status();
}

}  // namespace tutti
