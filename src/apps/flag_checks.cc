#include "apps/flag_checks.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace tutti {

namespace {

constexpr int64_t kFew = 10'000'000;  // numbers that are read at a glance

// The number that "4k", "1.5M" or "2Gi" stands for.
std::optional<int64_t> spelled_out(const std::string& text) {
  double number = 0;
  const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (bad != std::errc() || end == text.data() + text.size()) {
    return std::nullopt;
  }
  const auto letter = std::string_view("kKmMgG").find(*end);
  if (letter == std::string_view::npos) {
    return std::nullopt;
  }
  const double value = number * std::pow(1024.0, static_cast<double>(letter / 2 + 1));
  constexpr double kExact = 9007199254740992.0;  // 2^53
  return value >= 1 && value < kExact ? std::optional(static_cast<int64_t>(value)) : std::nullopt;
}

std::string bounds(int64_t min, int64_t max) {
  return max <= kFew ? fmt::format("{} to {}", min, max) : fmt::format("at least {}", min);
}

}  // namespace

CLI::Validator between(int64_t min, int64_t max) {
  const auto check = [min, max](const std::string& text) -> std::string {
    int64_t value = 0;
    const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = end == text.data() + text.size() && !text.empty();
    if (whole && bad == std::errc() && value >= min && value <= max) {
      return "";
    }
    const bool too_much = whole && (bad == std::errc::result_out_of_range || value > max);
    if (too_much && max > kFew && text[0] != '-') {
      return fmt::format("wanted at most {}", max);
    }
    const std::optional<int64_t> meant = whole ? std::nullopt : spelled_out(text);
    return fmt::format("wanted {}{}{}",
                       whole ? "" : "an integer, ",
                       bounds(min, max),
                       meant ? fmt::format("; in digits that is {}", *meant) : "");
  };
  return {check, bounds(min, max)};
}

CLI::Validator between(double min, double max) {
  const std::string words = max <= static_cast<double>(kFew) ? fmt::format("{} to {}", min, max)
                                                             : fmt::format("at least {}", min);
  const auto check = [min, max, words](const std::string& text) -> std::string {
    double value = std::numeric_limits<double>::quiet_NaN();
    const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool number = bad == std::errc() && end == text.data() + text.size();
    return number && value >= min && value <= max
               ? ""
               : fmt::format("wanted {}{}", number ? "" : "a number, ", words);
  };
  return {check, words};
}

CLI::Validator one_of(std::initializer_list<const char*> words) {
  const std::vector<std::string> all(words.begin(), words.end());
  const std::string list =
      fmt::format("{} or {}", fmt::join(all.begin(), all.end() - 1, ", "), all.back());
  const auto check = [all, list](const std::string& text) -> std::string {
    return std::find(all.begin(), all.end(), text) != all.end() ? "" : "wanted " + list;
  };
  return {check, fmt::format("{{{}}}", fmt::join(all, ","))};  // the form that completion reads
}

}  // namespace tutti
