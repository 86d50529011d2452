// Every limit of the server that an operator may set, in one table: the flags of `tutti serve`, the
// tables of docs/serving.md and the tests of their edges all come from it.
#pragma once
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <variant>

#include "serve/http_limits.h"

namespace tutti {

struct LimitRow {
  enum class Unit { kCount, kBytes, kSeconds };

  using Member = std::variant<int32_t HttpLimits::*,
                              int64_t HttpLimits::*,
                              std::chrono::milliseconds HttpLimits::*,
                              int32_t RequestLimits::*>;

  const char* name;    ///< of the option: "max_body"
  const char* what;    ///< one line of help; may name options between marks
  const char* answer;  ///< what a client gets beyond it, "" if nothing
  Unit unit;
  Member member;
  double min;  ///< in `unit`
  double max;
};

std::span<const LimitRow> limit_rows();

/// In the unit of the row: seconds for times.
double limit_value(const LimitRow& row, const HttpLimits& http, const RequestLimits& request);
/// `value` must be within the row's bounds.
void set_limit(const LimitRow& row, double value, HttpLimits& http, RequestLimits& request);
/// "32768", "1.5": as one would type it.
std::string format_limit(double value);

}  // namespace tutti
