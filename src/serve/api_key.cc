#include "serve/api_key.h"

#include <algorithm>
#include <optional>

#include <openssl/crypto.h>
#include <openssl/sha.h>

namespace tutti {

KeyDigest digest_of(std::string_view key) {
  KeyDigest out{};
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), out.data());
  return out;
}

Result<KeyDigest> digest_of_new_key(std::string_view key) {
  const bool printable = std::all_of(key.begin(), key.end(), [](char c) {
    return c > 0x20 && c < 0x7f;  // what a Bearer token can carry
  });
  if (key.empty() || !printable) {
    return invalid(
        "the API key is empty or has spaces or characters outside printable ASCII; "
        "give a key such as the output of: openssl rand -hex 24");
  }
  return digest_of(key);
}

bool same_digest(const KeyDigest& a, const KeyDigest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

namespace {

constexpr const char* kHow = "send it as \"Authorization: Bearer <key>\" or \"X-Api-Key: <key>\"";

ApiError no_key(std::string_view what) {
  return to_api_error(error(StatusCode::kUnauthenticated, "{}; {}", what, kHow));
}

// What stands behind "Bearer "; nullopt: there is no such key.
std::optional<std::string_view> bearer_of(std::string_view value) {
  constexpr std::string_view kScheme = "bearer ";
  const bool bearer =
      value.size() > kScheme.size() &&
      std::equal(kScheme.begin(), kScheme.end(), value.begin(), [](char want, char got) {
        return want == (got >= 'A' && got <= 'Z' ? static_cast<char>(got - 'A' + 'a') : got);
      });
  return bearer ? std::optional(value.substr(kScheme.size())) : std::nullopt;
}

}  // namespace

// Clients of several APIs send both headers; that no two readers of a request take different keys
// for its own, they must have the same one.
std::variant<KeyDigest, ApiError> digest_of_request(const HttpHead& head) {
  constexpr const char* kHeaders[] = {"authorization", "x-api-key"};
  std::optional<KeyDigest> found;
  for (const char* name : kHeaders) {
    if (head.count(name) > 1) {
      return http_error(400, fmt::format("more than one {} header", name));
    }
    const std::string* value = head.find(name);
    if (value == nullptr) {
      continue;
    }
    std::optional<std::string_view> key = *value;
    if (name == kHeaders[0]) {
      key = bearer_of(*value);
      if (!key) {
        return no_key("Authorization holds no Bearer key");
      }
    }
    const KeyDigest digest = digest_of(*key);
    if (found && !same_digest(*found, digest)) {
      return no_key("Authorization and X-Api-Key hold different keys");
    }
    found = digest;
  }
  if (found) {
    return *found;
  }
  for (const char* other : {"api-key", "x-goog-api-key"}) {
    if (head.find(other) != nullptr) {
      return no_key(fmt::format("got the API key as {}", other));
    }
  }
  return no_key("no API key");
}

std::string to_hex(const KeyDigest& digest) {
  std::string out;
  for (const unsigned char byte : digest) {
    out += fmt::format("{:02x}", byte);
  }
  return out;
}

}  // namespace tutti
