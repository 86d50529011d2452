#include "supervise/keys.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <openssl/rand.h>

#include "base/log.h"
#include "base/wall_clock.h"

namespace tutti {

namespace {

constexpr size_t kLongestName = 64;
constexpr size_t kMostKeys = 1000;
constexpr size_t kRandomBytes = 24;
constexpr int64_t kMostPerMinute = int64_t{1} << 40;

std::string hex(const unsigned char* bytes, size_t size) {
  std::string out;
  for (size_t i = 0; i < size; ++i) {
    out += fmt::format("{:02x}", bytes[i]);
  }
  return out;
}

bool read_digest(const std::string& text, KeyDigest& digest) {
  if (text.size() != 2 * digest.size()) {
    return false;
  }
  for (size_t i = 0; i < digest.size(); ++i) {
    const char* at = text.data() + 2 * i;
    if (std::from_chars(at, at + 2, digest[i], 16).ptr != at + 2) {
      return false;
    }
  }
  return true;
}

bool has_scope(const StoredKey& key, std::string_view scope) {
  std::string_view rest = key.scopes;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    if (rest.substr(0, comma) == scope) {
      return true;
    }
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return false;
}

// The names of keys that were replaced have an "@".
Status check_name(const std::string& name) {
  const bool good = !name.empty() && name.size() <= kLongestName &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                             (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
                    });
  return good ? ok_status()
              : invalid("name: wanted 1 to {} letters, digits, \"-\", \"_\" or \".\"", kLongestName)
                    .with_param("name");
}

Result<std::string> joined_scopes(const std::vector<std::string>& scopes) {
  std::string out;
  for (const std::string& scope : scopes) {
    if (scope != "inference" && scope != "manage" && scope != "metrics") {
      return invalid("scopes: got \"{}\", wanted inference, manage or metrics", scope.substr(0, 40))
          .with_param("scopes");
    }
    out += (out.empty() ? "" : ",") + scope;
  }
  if (out.empty()) {
    return invalid("scopes: empty; wanted some of inference, manage and metrics")
        .with_param("scopes");
  }
  return out;
}

Result<std::string> random_key() {
  std::array<unsigned char, kRandomBytes> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    return error(StatusCode::kUnavailable, "no random numbers for a key");
  }
  return "tutti-" + hex(bytes.data(), bytes.size());
}

std::string stored_digest(const std::string& key) {
  const KeyDigest digest = digest_of(key);
  return hex(digest.data(), digest.size());
}

template <class Keys>
auto find_key(Keys& keys, const std::string& name) {
  return std::find_if(
      keys.begin(), keys.end(), [&](const StoredKey& key) { return key.name == name; });
}

Status no_such_key(const std::string& name) {
  return error(StatusCode::kNotFound, "no key is called \"{}\"", name.substr(0, kLongestName))
      .with_param("name");
}

}  // namespace

Result<std::unique_ptr<Keys>> Keys::open(std::shared_ptr<Store> store,
                                         std::shared_ptr<KeyRing> ring) {
  std::unique_ptr<Keys> keys(new Keys(std::move(store), std::move(ring)));
  TUTTI_TRY(keys->keys_, keys->store_->keys());
  keys->tell_ring_locked();  // nobody else has it yet
  return keys;
}

void Keys::tell_ring_locked() {
  std::vector<KeyGrant> grants;
  for (const StoredKey& key : keys_) {
    KeyGrant grant{.name = key.name,
                   .inference = has_scope(key, "inference"),
                   .manage = has_scope(key, "manage"),
                   .metrics = has_scope(key, "metrics"),
                   .limits = {.requests = key.requests_per_minute, .tokens = key.tokens_per_minute},
                   .expires_unix = key.expires_unix};
    if (read_digest(key.digest, grant.digest)) {
      grants.push_back(std::move(grant));
    } else {
      log_error("the key \"{}\" is damaged and lets nobody in; make another", key.name);
    }
  }
  ring_->set(std::move(grants));
}

// Once there are keys, one that lasts must be good for making others.
Status Keys::check_managers_locked(const std::vector<StoredKey>& keys) const {
  const bool managed = keys.empty() || ring_->has_master() ||
                       std::any_of(keys.begin(), keys.end(), [](const StoredKey& key) {
                         return key.expires_unix == 0 && has_scope(key, "manage");
                       });
  return managed ? ok_status()
                 : invalid(
                       "scopes: no key that lasts would be left to manage this server with; "
                       "have one with the scope manage first")
                       .with_param("scopes");
}

Result<std::string> Keys::add(const NewKey& wanted) {
  TUTTI_RETURN_IF_ERROR(check_name(wanted.name));
  TUTTI_TRY(std::string scopes, joined_scopes(wanted.scopes));
  for (const int64_t limit : {wanted.limits.requests, wanted.limits.tokens}) {
    if (limit < 0 || limit > kMostPerMinute) {
      return invalid("limits: got {}, wanted 0 (none) to {}", limit, kMostPerMinute);
    }
  }
  TUTTI_TRY(std::string text, random_key());
  StoredKey key{.name = wanted.name,
                .digest = stored_digest(text),
                .scopes = std::move(scopes),
                .requests_per_minute = wanted.limits.requests,
                .tokens_per_minute = wanted.limits.tokens,
                .expires_unix = wanted.expires_unix,
                .created_unix = unix_now()};
  const std::lock_guard lock(mutex_);
  if (find_key(keys_, key.name) != keys_.end()) {
    return invalid("name: \"{}\" is in use; remove that key, or rotate it", key.name)
        .with_param("name");
  }
  std::vector<StoredKey> keys = keys_;
  keys.push_back(key);
  if (keys.size() > kMostKeys) {
    return invalid("there are {} keys, the most there may be", kMostKeys);
  }
  TUTTI_RETURN_IF_ERROR(check_managers_locked(keys));
  TUTTI_RETURN_IF_ERROR(store_->put_key(key));
  keys_ = std::move(keys);
  tell_ring_locked();
  return text;
}

Result<std::string> Keys::rotate(const std::string& name, int64_t old_expires_unix) {
  TUTTI_TRY(std::string text, random_key());
  const std::lock_guard lock(mutex_);
  const auto found = find_key(keys_, name);
  if (found == keys_.end()) {
    return no_such_key(name);
  }
  StoredKey changed = *found;
  changed.digest = stored_digest(text);
  changed.created_unix = unix_now();
  // What was replaced before is forgotten: a key has one predecessor.
  StoredKey old = *found;
  old.name = name + "@old";
  old.expires_unix =
      old.expires_unix == 0 ? old_expires_unix : std::min(old.expires_unix, old_expires_unix);
  TUTTI_RETURN_IF_ERROR(store_->remove_key(old.name));
  TUTTI_RETURN_IF_ERROR(store_->put_key(changed));
  TUTTI_RETURN_IF_ERROR(store_->put_key(old));
  std::erase_if(keys_, [&](const StoredKey& key) { return key.name == old.name; });
  *find_key(keys_, name) = std::move(changed);
  keys_.push_back(std::move(old));
  tell_ring_locked();
  return text;
}

Status Keys::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (find_key(keys_, name) == keys_.end()) {
    return no_such_key(name);
  }
  std::vector<StoredKey> keys = keys_;
  std::erase_if(
      keys, [&](const StoredKey& key) { return key.name == name || key.name == name + "@old"; });
  TUTTI_RETURN_IF_ERROR(check_managers_locked(keys));
  TUTTI_RETURN_IF_ERROR(store_->remove_key(name));
  TUTTI_RETURN_IF_ERROR(store_->remove_key(name + "@old"));
  keys_ = std::move(keys);
  tell_ring_locked();
  return ok_status();
}

std::vector<StoredKey> Keys::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<StoredKey> keys = keys_;
  std::sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return keys;
}

}  // namespace tutti
