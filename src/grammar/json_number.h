// Numbers of JSON within bounds, as expressions over their text.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "grammar/regex_pool.h"

namespace tutti::grammar {

/// A number exactly as it was written.
struct Decimal {
  bool negative = false;
  std::string whole;     ///< digits without leading zeros; empty: 0
  std::string fraction;  ///< digits without trailing zeros

  /// `number`: any of JSON's. Nothing if it has more than some 400 digits written out.
  static std::optional<Decimal> of(const Json& number);

  bool zero() const { return whole.empty() && fraction.empty(); }

  /// < 0, 0 or > 0.
  static int compare(const Decimal& a, const Decimal& b);
};

struct NumberBounds {
  bool integer = false;  ///< written without a point
  std::optional<Decimal> min;
  std::optional<Decimal> max;
  bool min_excluded = false;
  bool max_excluded = false;

  /// The smaller of two upper bounds, and so on.
  void at_least(const Decimal& bound, bool excluded);
  void at_most(const Decimal& bound, bool excluded);
};

/// Numbers within `bounds`. With bounds they have no exponent; -0 is written 0 then. Exponents have
/// at most two digits, so that readers get a finite number.
ExprId number_within(RegexPool& pool, const NumberBounds& bounds);

/// Multiples of `step` > 0, without exponents. kUnsupported if it has too many digits for that.
Result<ExprId> multiples_of(RegexPool& pool, const Decimal& step);

}  // namespace tutti::grammar
