#include "base/units.h"

#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>

namespace tutti {

std::string format_bytes(int64_t bytes) {
  constexpr std::array<const char*, 5> kNames{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (std::abs(value) >= 1024.0 && unit + 1 < kNames.size()) {
    value /= 1024.0;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kNames[unit]);
}

Result<int64_t> parse_bytes(std::string_view text) {
  const std::string s(text);
  char* end = nullptr;
  const double number = std::strtod(s.c_str(), &end);
  std::string suffix;
  for (const char* p = end; *p != '\0'; ++p) {
    if (*p != ' ') {
      suffix += static_cast<char>(std::tolower(static_cast<unsigned char>(*p)));
    }
  }
  static constexpr std::string_view kPrefixes = "kmgt";
  double scale = 1.0;
  bool known = end != s.c_str();
  if (!suffix.empty() && suffix != "b") {
    const size_t power = kPrefixes.find(suffix[0]);
    const std::string rest = suffix.substr(1);
    known =
        known && power != std::string_view::npos && (rest.empty() || rest == "ib" || rest == "b");
    scale = std::pow(rest == "b" ? 1000.0 : 1024.0, static_cast<double>(power) + 1.0);
  }
  const double bytes = number * scale;
  if (!known || !(bytes >= 0.0) || bytes > 9.0e18) {
    return invalid("\"{}\" is not a size; write for example 512MiB, 2GiB or 4096", text);
  }
  return static_cast<int64_t>(bytes);
}

std::string format_seconds(double seconds) {
  if (seconds < 1e-3) {
    return fmt::format("{:.1f} us", seconds * 1e6);
  }
  if (seconds < 1.0) {
    return fmt::format("{:.1f} ms", seconds * 1e3);
  }
  return fmt::format("{:.1f} s", seconds);
}

}  // namespace tutti
