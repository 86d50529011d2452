// The API keys of a server that are kept: made, listed, taken away while it runs. Thread-safe.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/key_ring.h"
#include "supervise/store.h"

namespace tutti {

struct NewKey {
  std::string name;
  std::vector<std::string> scopes;  ///< "inference", "manage", "metrics"
  KeyLimits limits;
  int64_t expires_unix = 0;  ///< 0: never
};

class Keys {
 public:
  /// `ring` gets what is kept.
  static Result<std::unique_ptr<Keys>> open(std::shared_ptr<Store> store,
                                            std::shared_ptr<KeyRing> ring);

  /// The key, which nobody can be told again. kInvalidArgument names the field that is wrong, or
  /// "name" if it is in use.
  Result<std::string> add(const NewKey& wanted);

  /// A new key of this name; the old one goes on until `old_expires_unix`. kNotFound.
  Result<std::string> rotate(const std::string& name, int64_t old_expires_unix);

  /// kNotFound; kInvalidArgument: then nobody could manage the server, though keys were wanted.
  Status remove(const std::string& name);

  /// In the order of their names.
  std::vector<StoredKey> all() const;

 private:
  Keys(std::shared_ptr<Store> store, std::shared_ptr<KeyRing> ring)
      : store_(std::move(store)), ring_(std::move(ring)) {}

  Status check_managers_locked(const std::vector<StoredKey>& keys) const;
  void tell_ring_locked();

  const std::shared_ptr<Store> store_;
  const std::shared_ptr<KeyRing> ring_;
  mutable std::mutex mutex_;
  std::vector<StoredKey> keys_;
};

}  // namespace tutti
