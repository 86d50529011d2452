// API keys as requests carry them. Only SHA-256 digests are kept, and they are compared in constant
// time, so neither a file, a core nor the time of a reply tells a key.
#pragma once
#include <array>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "serve/http_message.h"

namespace tutti {

using KeyDigest = std::array<unsigned char, 32>;

KeyDigest digest_of(std::string_view key);

/// kInvalidArgument for a key that is blank or has characters a header cannot carry.
Result<KeyDigest> digest_of_new_key(std::string_view key);

/// In constant time.
bool same_digest(const KeyDigest& a, const KeyDigest& b);

/// Of the key in "Authorization: Bearer <key>" or "X-Api-Key: <key>"; what is wrong if there is
/// none, or two that differ.
std::variant<KeyDigest, ApiError> digest_of_request(const HttpHead& head);

/// 64 hexadecimal digits.
std::string to_hex(const KeyDigest& digest);

}  // namespace tutti
