// Who may ask what: the API keys of a server, and how much each may ask. Thread-safe.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "serve/api_key.h"

namespace tutti {

/// What a route wants of a key.
enum class KeyScope {
  kAny,
  kInference,  ///< generation
  kManage,     ///< launches, keys
  kMetrics,    ///< /metrics, GPUs
};

/// Within a minute; 0: as many as come. A minute's worth may come at once.
struct KeyLimits {
  int64_t requests = 0;
  int64_t tokens = 0;
};

/// What one key has used of its limits. Thread-safe.
class KeyUse {
 public:
  using Clock = std::chrono::steady_clock;

  explicit KeyUse(KeyLimits limits, Clock::time_point now = Clock::now());

  /// Counts a request; the error of one that is too much (429).
  std::optional<ApiError> begin(Clock::time_point now = Clock::now());

  /// Tokens of requests that were let in; they may overdraw, and requests then wait for it.
  void spend(int64_t tokens, Clock::time_point now = Clock::now());

 private:
  /// Refilled steadily, up to a minute's worth.
  struct Bucket {
    int64_t per_minute = 0;
    double level = 0;

    void refill(std::chrono::duration<double> passed);
    /// Seconds until there is this much.
    double wait_for(double wanted) const;
  };

  void refill_locked(Clock::time_point now);

  std::mutex mutex_;
  Clock::time_point last_;
  Bucket requests_;
  Bucket tokens_;
};

struct KeyGrant {
  std::string name;
  KeyDigest digest{};
  bool inference = true;
  bool manage = false;
  bool metrics = false;
  KeyLimits limits;
  int64_t expires_unix = 0;  ///< 0: never

  bool allows(KeyScope scope) const;
};

class KeyRing {
 public:
  /// The key that the server was started with: it may do everything, without limits.
  void add_master(const KeyDigest& digest);

  /// From here on a key is wanted though there be none.
  void always_require();

  /// Replaces all others. One that was there with these limits goes on with what it has used.
  void set(std::vector<KeyGrant> grants);

  /// Whether requests must carry a key.
  bool required() const;
  bool has_master() const;

  struct Pass {
    std::optional<ApiError> error;  ///< the request may not pass
    std::shared_ptr<KeyUse> use;    ///< of a key with limits
    std::string owner;              ///< digest of the key in hexadecimal digits; "": none is wanted
  };

  /// One more request, for kInference.
  Pass check(const HttpHead& head, KeyScope scope) const;

 private:
  struct Key {
    KeyGrant grant;
    std::shared_ptr<KeyUse> use;
  };

  bool required_locked() const { return always_ || master_ || !keys_.empty(); }

  mutable std::mutex mutex_;
  bool always_ = false;
  std::optional<KeyDigest> master_;
  std::vector<Key> keys_;
};

}  // namespace tutti
