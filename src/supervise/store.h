// What a server with launches keeps over a restart, in one SQLite file: launches, their events, API
// keys (as digests). Thread-safe.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace tutti {

struct StoredLaunch {
  std::string uid;
  std::string spec;  ///< JSON (launch_spec.h)
  int64_t created_unix = 0;
};

struct StoredKey {
  std::string name;
  std::string digest;  ///< 64 hexadecimal digits: SHA-256
  std::string scopes;  ///< "inference,manage"
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;
  int64_t expires_unix = 0;
  int64_t created_unix = 0;
};

struct LaunchEvent {
  int64_t time_unix = 0;
  std::string kind;  ///< "Normal", "Warning" or "Error"
  std::string text;
};

class Store {
 public:
  /// The events of a launch that are kept.
  static constexpr int kEvents = 100;

  /// Opens the file, or makes it (mode 0600). One of an older version is brought up to date in one
  /// transaction; kUnsupported: it is of a newer one. kUnavailable: another server has it, or it
  /// cannot be written. kCorrupt: it is no such file. An empty path: nothing is kept.
  static Result<std::unique_ptr<Store>> open(const std::string& path);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  Status put(const StoredLaunch& launch);
  Status remove(const std::string& uid);
  /// In the order in which they were made.
  Result<std::vector<StoredLaunch>> launches() const;

  Status put_key(const StoredKey& key);
  Status remove_key(const std::string& name);
  /// In the order of their names.
  Result<std::vector<StoredKey>> keys() const;

  /// Failures are logged: an event is never worth more than what it tells of.
  void add_event(const std::string& uid, const LaunchEvent& event);
  /// Oldest first.
  Result<std::vector<LaunchEvent>> events(const std::string& uid) const;

  /// The version of the tables that this build writes.
  static int version();

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tutti
