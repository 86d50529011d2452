// What was measured on this machine, kept from one run of the program to the next: which algorithm
// of a library is fastest for a shape, from which size on a collective takes another way. Only a
// hint: whoever reads a value checks it, and measures where there is none. Thread-safe.
#pragma once
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/status.h"

namespace tutti {

class TuningCache {
 public:
  /// Nothing is read or kept.
  TuningCache() = default;

  /// Values measured under `identity` (GPU, driver, libraries, build) live in a file of their own
  /// in `directory`; an empty one keeps nothing. A file that is missing, of another identity or not
  /// readable counts as empty.
  TuningCache(const std::string& directory, const std::string& identity);

  std::optional<std::string> find(const std::string& key) const;

  /// Neither holds a tab or a line break.
  void put(const std::string& key, const std::string& value);

  /// Writes the file if something was put since it was read; readers never see half of it.
  Status save();

  size_t size() const;

 private:
  std::string directory_;
  std::string path_;
  std::string identity_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string> values_;
  bool changed_ = false;
};

}  // namespace tutti
