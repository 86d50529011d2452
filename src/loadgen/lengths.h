// How long prompts and outputs are.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "loadgen/random.h"

namespace tutti::loadgen {

/// Token counts. Values outside [low, high] are drawn again, so the mean of a truncated normal or
/// lognormal is that of the truncated distribution.
class LengthDistribution {
 public:
  /// "128", "uniform:LOW:HIGH", "normal:MEAN:STDDEV[:LOW:HIGH]",
  /// "lognormal:MEDIAN:SIGMA[:LOW:HIGH]" (SIGMA of the natural logarithm). `flag` begins errors.
  static Result<LengthDistribution> parse(std::string_view flag, const std::string& text);

  /// Fixed length.
  explicit LengthDistribution(int64_t length = 1) : low_(length), high_(length) {}

  int64_t draw(Random& random) const;

  /// Most tokens it ever gives.
  int64_t high() const { return high_; }

 private:
  enum class Kind { kUniform, kNormal, kLogNormal };

  Kind kind_ = Kind::kUniform;
  double center_ = 0;  // mean, or natural logarithm of the median
  double spread_ = 0;
  int64_t low_;
  int64_t high_;
};

}  // namespace tutti::loadgen
