// The one table of what a request can ask for: name, type, range, default, where it goes, help. It
// makes the fields of HTTP requests (serve/field_rules.h), flags of commands, the engine's
// checks, the largest values of the server's limits and the table in docs/serving.md.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "engine/language_model.h"

namespace tutti {

// The most that lists of a request may hold, whatever an operator allows.
inline constexpr int64_t kMaxStopStrings = 32;  // each costs a few operations per byte of text
inline constexpr int64_t kMaxStopStringBytes = 4096;
inline constexpr int64_t kMaxStopTokenIds = 1024;
inline constexpr int64_t kMaxBadWords = 1024;  // each costs a comparison per generated token
inline constexpr int64_t kMaxBadWordBytes = 4096;
inline constexpr int64_t kMaxSaltBytes = 1024;
inline constexpr double kMaxLogitBias = 100;  // OpenAI's; also -100

enum class ParameterType { kBool, kInteger, kNumber, kString, kObject, kList, kSeveral };

struct ValueRange {
  double min = 0;
  double max = 0;
  bool min_excluded = false;

  /// False for NaN.
  bool contains(double value) const {
    return (min_excluded ? value > min : value >= min) && value <= max;
  }
};

/// "0 to 2", "more than 0 to 1"; of 64-bit integers, signed or not: both ends in digits.
std::string range_words(ValueRange range, ParameterType type);

/// std::monostate: of more than one value; who reads requests puts it where it belongs.
using ParameterTarget = std::variant<std::monostate,
                                     float SamplingParams::*,
                                     int32_t SamplingParams::*,
                                     uint64_t SamplingParams::*,
                                     bool GenerationRequest::*,
                                     int32_t GenerationRequest::*,
                                     int64_t GenerationRequest::*,
                                     std::optional<int64_t> GenerationRequest::*,
                                     std::string GenerationRequest::*>;

/// What a flag or a field brings. Integers above 2^63 - 1 come as uint64_t.
using ParameterValue = std::variant<bool, int64_t, uint64_t, double, std::string>;

struct RequestParameter {
  const char* name;  ///< of the JSON field and, between marks, of the option
  ParameterType type;
  ValueRange range;  ///< of numbers: their values; of a string: its bytes
  ParameterTarget target;
  const char* fallback;           ///< what holds if it is not given, in words
  const char* help;               ///< one line
  bool minus_one_is_off = false;  ///< -1 is another way to write 0
};

std::span<const RequestParameter> request_parameters();

/// The row of that name, which must be there.
const RequestParameter& request_parameter(std::string_view name);

/// Whether the parameter says how tokens are chosen (SamplingParams).
bool is_sampling(const RequestParameter& parameter);

/// Puts a value of the right type into its place, unless it is outside the range. The error names
/// the parameter: "top_p: got 2, wanted more than 0 to 1".
Status set_parameter(const RequestParameter& parameter,
                     const ParameterValue& value,
                     GenerationRequest& request);

/// From what was typed. Same errors, and "wanted a number".
Result<ParameterValue> parse_parameter(const RequestParameter& parameter, std::string_view text);

/// Ranges of all that is in `sampling`; a value nobody has set is legal.
Status check_sampling(const SamplingParams& sampling);

/// The same of the whole request. What depends on the model is in request_check.h.
Status check_parameters(const GenerationRequest& request);

}  // namespace tutti
