// The optional API key. Only its SHA-256 digest is kept, and digests are compared in constant time,
// so neither a core file nor the time of a reply tells the key.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "serve/http_message.h"

namespace tutti {

class ApiKey {
 public:
  /// No key: every request is allowed.
  ApiKey() = default;
  /// kInvalidArgument for a key that is blank or has characters a header cannot carry.
  static Result<ApiKey> make(std::string_view key);

  bool required() const { return digest_.has_value(); }

  /// Reads "Authorization: Bearer <key>"; nullopt if the request may pass.
  std::optional<ApiError> check(const HttpHead& head) const;

 private:
  using Digest = std::array<unsigned char, 32>;
  static Digest digest(std::string_view text);

  std::optional<Digest> digest_;
};

}  // namespace tutti
