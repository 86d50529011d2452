#include "serve/api_key.h"

#include <algorithm>

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

std::variant<KeyDigest, ApiError> digest_of_bearer(const HttpHead& head) {
  const int headers = head.count("authorization");
  if (headers > 1) {
    return http_error(400, "more than one Authorization header");
  }
  if (headers == 0) {
    // Where other APIs have it; taken from one place only, so that no two keys contradict.
    for (const char* other : {"x-api-key", "api-key", "x-goog-api-key"}) {
      if (head.find(other) != nullptr) {
        return to_api_error(error(StatusCode::kUnauthenticated,
                                  "got the API key as {}; send it as \"Authorization: Bearer "
                                  "<key>\"",
                                  other));
      }
    }
    return to_api_error(Status(StatusCode::kUnauthenticated,
                               "no API key; send it as \"Authorization: Bearer <key>\""));
  }
  std::string_view value = *head.find("authorization");
  constexpr std::string_view kScheme = "bearer ";
  const bool bearer =
      value.size() > kScheme.size() &&
      std::equal(kScheme.begin(), kScheme.end(), value.begin(), [](char want, char got) {
        return want == (got >= 'A' && got <= 'Z' ? static_cast<char>(got - 'A' + 'a') : got);
      });
  if (!bearer) {
    return to_api_error(
        Status(StatusCode::kUnauthenticated,
               "Authorization holds no Bearer key; send it as \"Authorization: Bearer <key>\""));
  }
  value.remove_prefix(kScheme.size());
  return digest_of(value);
}

}  // namespace tutti
