// Text of protocols and configuration: ASCII, whatever the locale.
#pragma once
#include <string>
#include <string_view>

namespace tutti {

/// Letters A to Z only; other bytes stay.
std::string to_lower(std::string_view text);

/// Without what of `space` is at either end.
std::string_view trim(std::string_view text, std::string_view space = " \t\r\n");

}  // namespace tutti
