// The one table of request fields of the generation routes: name, type, range, and whether a field
// is used, harmless (accepted without effect) or refused because it is known but not supported yet.
// A field that is in no row is accepted silently and counted, as OpenAI's clients expect.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace tutti {

enum class ApiRoute { kChat, kCompletions };

enum class FieldUse { kUsed, kHarmless, kRefused };

enum class FieldType { kBool, kInt, kNumber, kString, kObject, kArray, kAny };

struct FieldRule {
  const char* name;

  enum Routes { kChatOnly, kCompletionsOnly, kBoth } routes;

  FieldUse use;
  FieldType type;
  double min = 0;  ///< of kInt and kNumber
  double max = 0;
  bool min_excluded = false;
  /// JSON text of values that ask for nothing, separated by '|'; null always is one.
  const char* neutral = "";
  const char* remedy = "";    ///< appended to the refusal
  const char* fallback = "";  ///< of kUsed: what holds if the field is absent, in words
};

std::span<const FieldRule> field_rules();

/// Checks every known field of `body` for type, range and support; the error names the field.
/// `unknown` gets the number of fields that are in no row.
Status check_fields(ApiRoute route, const JsonObject& body, int& unknown);

/// Values of checked fields; absent and null both mean "not given". The type must match the table.
std::optional<bool> bool_field(const JsonObject& body, std::string_view name);
std::optional<int64_t> int_field(const JsonObject& body, std::string_view name);
/// The 64 bits of an integer, which may be written as signed or as unsigned.
std::optional<uint64_t> bits_field(const JsonObject& body, std::string_view name);
std::optional<double> number_field(const JsonObject& body, std::string_view name);
std::optional<std::string> string_field(const JsonObject& body, std::string_view name);
const Json* any_field(const JsonObject& body, std::string_view name);

}  // namespace tutti
