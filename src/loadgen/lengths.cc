#include "loadgen/lengths.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

namespace tutti::loadgen {

namespace {

constexpr int64_t kMaxLength = int64_t{1} << 24;
constexpr int kDraws = 100;  // then the value is moved to the nearest legal one

bool parse_double(std::string_view text, double& out) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc() && end == text.data() + text.size() && std::isfinite(out);
}

bool parse_length(std::string_view text, int64_t& out) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc() && end == text.data() + text.size() && out >= 1 && out <= kMaxLength;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(':');
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(at + 1);
  }
}

Status malformed(std::string_view flag, const std::string& text) {
  return invalid(
      "{} {}: wanted a number of tokens from 1 to {}, uniform:LOW:HIGH, "
      "normal:MEAN:STDDEV[:LOW:HIGH] or lognormal:MEDIAN:SIGMA[:LOW:HIGH]",
      flag,
      text,
      kMaxLength);
}

}  // namespace

Result<LengthDistribution> LengthDistribution::parse(std::string_view flag,
                                                     const std::string& text) {
  LengthDistribution out;
  const std::vector<std::string_view> parts = split(text);
  if (parts.size() == 1) {
    if (!parse_length(parts[0], out.low_)) {
      return malformed(flag, text);
    }
    out.high_ = out.low_;
    return out;
  }
  out.high_ = kMaxLength;
  size_t bounds = 1;
  if (parts[0] == "normal" || parts[0] == "lognormal") {
    out.kind_ = parts[0] == "normal" ? Kind::kNormal : Kind::kLogNormal;
    if ((parts.size() != 3 && parts.size() != 5) || !parse_double(parts[1], out.center_) ||
        !parse_double(parts[2], out.spread_) || out.center_ <= 0 || out.spread_ < 0) {
      return malformed(flag, text);
    }
    out.center_ = out.kind_ == Kind::kLogNormal ? std::log(out.center_) : out.center_;
    bounds = 3;
  } else if (parts[0] != "uniform" || parts.size() != 3) {
    return malformed(flag, text);
  }
  if (parts.size() == bounds + 2 &&
      (!parse_length(parts[bounds], out.low_) || !parse_length(parts[bounds + 1], out.high_))) {
    return malformed(flag, text);
  }
  if (out.low_ > out.high_) {
    return invalid("{} {}: LOW is above HIGH", flag, text);
  }
  return out;
}

int64_t LengthDistribution::draw(Random& random) const {
  if (kind_ == Kind::kUniform) {
    return random.integer(low_, high_);
  }
  double value = 0;
  for (int i = 0; i < kDraws; ++i) {
    value = center_ + spread_ * random.normal();
    value = std::round(kind_ == Kind::kLogNormal ? std::exp(value) : value);
    if (value >= static_cast<double>(low_) && value <= static_cast<double>(high_)) {
      return static_cast<int64_t>(value);
    }
  }
  return value < static_cast<double>(low_) ? low_ : high_;
}

}  // namespace tutti::loadgen
