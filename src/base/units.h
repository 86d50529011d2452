// Quantities with units in their text form.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tutti {

/// 1536 -> "1.5 KiB"; binary units, one decimal.
std::string format_bytes(int64_t bytes);

/// "2GiB", "512M", "1.5 g", "4096" -> bytes. K/M/G/T are binary, as is their "iB" form; "GB" is
/// 1e9.
Result<int64_t> parse_bytes(std::string_view text);

/// 0.0123 s -> "12.3 ms".
std::string format_seconds(double seconds);

}  // namespace tutti
