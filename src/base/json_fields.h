// Strict JSON object -> struct. One reader per object; the first error sticks and names the full
// field path, so a caller reads all its fields and asks status() once.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace tutti {

struct IntRange {
  int64_t min = INT64_MIN;
  int64_t max = INT64_MAX;
};

struct NumberRange {
  double min = -1.7976931348623157e308;
  double max = 1.7976931348623157e308;
};

/// Absent fields and JSON null both mean "not given".
class FieldReader {
 public:
  /// `where` is the prefix of paths in errors: "config.json" or "" for a request body.
  FieldReader(const JsonObject& object, std::string where)
      : object_(&object), where_(std::move(where)) {}

  int64_t required_int(std::string_view key, IntRange range = {});
  double required_number(std::string_view key, NumberRange range = {});
  std::string required_string(std::string_view key);

  std::optional<int64_t> optional_int(std::string_view key, IntRange range = {});
  std::optional<double> optional_number(std::string_view key, NumberRange range = {});
  std::optional<bool> optional_bool(std::string_view key);
  std::optional<std::string> optional_string(std::string_view key);

  int64_t int_or(std::string_view key, int64_t fallback, IntRange range = {}) {
    return optional_int(key, range).value_or(fallback);
  }

  double number_or(std::string_view key, double fallback, NumberRange range = {}) {
    return optional_number(key, range).value_or(fallback);
  }

  bool bool_or(std::string_view key, bool fallback) {
    return optional_bool(key).value_or(fallback);
  }

  std::string string_or(std::string_view key, std::string fallback) {
    return optional_string(key).value_or(std::move(fallback));
  }

  /// nullptr if absent or null; an error if present with another type.
  const JsonObject* optional_object(std::string_view key);
  const JsonArray* optional_array(std::string_view key);
  /// nullptr if absent or null, of any type.
  const Json* find(std::string_view key) const;

  const Status& status() const { return status_; }

  /// Records an error about `key` unless one is already recorded.
  void fail(std::string_view key, const std::string& what);
  std::string path(std::string_view key) const;

 private:
  void fail_type(std::string_view key, const Json& got, const char* wanted);

  const JsonObject* object_;
  std::string where_;
  Status status_;
};

}  // namespace tutti
