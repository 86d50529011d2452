// Responses that are kept, in one SQLite file that servers and engines of a user share. Each is
// found with the key that made it alone. Thread-safe.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"

namespace tutti {

struct StoredResponse {
  std::string id;
  std::string owner;     ///< KeyRing::Pass::owner
  std::string previous;  ///< id of the response that it goes on with; "": of none
  std::string response;  ///< JSON, as its client got it
  std::string input;     ///< JSON list of items
  int64_t created_unix = 0;

  struct Item {
    std::string id;
    std::string json;
  };

  std::vector<Item> items;  ///< of its output
};

class ResponseStore {
 public:
  static constexpr std::chrono::hours kKept{30 * 24};

  /// Nothing is opened, and nothing made, before it is needed.
  explicit ResponseStore(const std::string& path);
  ~ResponseStore();
  ResponseStore(const ResponseStore&) = delete;
  ResponseStore& operator=(const ResponseStore&) = delete;

  /// Opens the file, or makes it (mode 0600; its folder 0700). Errors say what to do. put() does so
  /// too.
  Status prepare();

  Status put(const StoredResponse& response);

  /// kNotFound: there is none, it is too old, or another key made it.
  Result<StoredResponse> find(const std::string& id, const std::string& owner) const;
  Status remove(const std::string& id, const std::string& owner);

  /// JSON of an item of such a response's output. kNotFound.
  Result<std::string> find_item(const std::string& id, const std::string& owner) const;

  /// Drops what is too old at that time; done by itself once an hour.
  Status drop_old(int64_t now_unix);

 private:
  struct Impl;
  void tidy();

  std::unique_ptr<Impl> impl_;
  std::mutex ending_mutex_;
  std::condition_variable ending_changed_;
  bool ending_ = false;
  std::thread tidier_;  // last: it uses the others
};

}  // namespace tutti
