// Rules about the fields of a request body: type, range, and whether a field is used, harmless
// (accepted without effect) or refused because it is known but not supported yet. A field that no
// rule names is accepted, as clients expect, but the client is told.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/request_parameters.h"

namespace tutti {

enum class FieldUse { kUsed, kHarmless, kRefused };

struct FieldRule {
  const char* name;
  unsigned routes;  ///< of the dialect, a bit each
  FieldUse use;
  ParameterType type;
  ValueRange range;  ///< of kInteger and kNumber
  /// What the field fills; nullptr: Dialect::parse() knows what to do with it.
  const RequestParameter* parameter = nullptr;
  const char* fallback = "";  ///< of kUsed: what holds if the field is absent, in words
  const char* help = "";      ///< of kUsed
  /// Of kRefused: JSON text of values that ask for nothing, separated by '|'; null always is one.
  const char* neutral = "";
  const char* remedy = "";  ///< appended to the refusal
};

/// Checks every known field of `body` for type, range and support; the error names the field.
Status check_fields(std::span<const FieldRule> rules, int route, const JsonObject& body);

/// A name that other APIs have for a field.
struct FieldAlias {
  const char* name;
  const char* advice;  ///< "did you mean max_tokens?"
};

struct UnknownFields {
  int64_t count = 0;
  /// "max_token: no such field, so it has no effect; did you mean max_tokens?" Printable ASCII,
  /// bounded; of many fields the first ones, and how many more there are.
  std::vector<std::string> warnings;
};

/// The fields of `body` that are in no row of `route`.
UnknownFields unknown_fields(std::span<const FieldRule> rules,
                             std::span<const FieldAlias> aliases,
                             int route,
                             const JsonObject& body);

/// Puts every field of `body` that is a parameter into its place. `body` has passed check_fields().
Status read_parameters(std::span<const FieldRule> rules,
                       int route,
                       const JsonObject& body,
                       GenerationRequest& out);

/// Values of checked fields; absent and null both mean "not given". The type must match the table.
std::optional<bool> bool_field(const JsonObject& body, std::string_view name);
std::optional<int64_t> int_field(const JsonObject& body, std::string_view name);
std::optional<double> number_field(const JsonObject& body, std::string_view name);
std::optional<std::string> string_field(const JsonObject& body, std::string_view name);
const Json* any_field(const JsonObject& body, std::string_view name);

}  // namespace tutti
