// JSON documents: ordered objects (chat templates print keys in the request's order), exact
// integers, strict parsing (RFC 8259: no comments, trailing commas, NaN, invalid UTF-8 or duplicate
// keys).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"

namespace tutti {

class Json;
struct JsonMember;

/// Members in document order. Lookup is linear for small objects, hashed for large ones.
class JsonObject {
 public:
  JsonObject();
  JsonObject(const JsonObject& other);
  JsonObject(JsonObject&& other) noexcept;
  JsonObject& operator=(const JsonObject& other);
  JsonObject& operator=(JsonObject&& other) noexcept;
  ~JsonObject();

  size_t size() const;
  bool empty() const;
  const Json* find(std::string_view key) const;  ///< nullptr if absent
  Json* find(std::string_view key);

  bool contains(std::string_view key) const { return find(key) != nullptr; }

  /// Replaces the value of `key`, or appends it.
  Json& set(std::string key, Json value);
  /// Appends without looking for an equal key (the parser checks duplicates itself).
  void append(std::string key, Json value);

  const std::vector<JsonMember>& members() const;
  std::vector<JsonMember>& members();
  std::vector<JsonMember>::const_iterator begin() const;
  std::vector<JsonMember>::const_iterator end() const;

 private:
  std::ptrdiff_t index_of(std::string_view key) const;
  void index_last();

  std::vector<JsonMember> members_;
  std::vector<uint32_t> table_;  // open addressing, position + 1, 0 = free; empty while small
};

using JsonArray = std::vector<Json>;

class Json {
 public:
  Json() = default;  // null

  Json(std::nullptr_t) {}  // NOLINT(google-explicit-constructor): literals

  Json(bool value) : v_(value) {}  // NOLINT(google-explicit-constructor)

  Json(int value) : v_(static_cast<int64_t>(value)) {}  // NOLINT(google-explicit-constructor)

  Json(int64_t value) : v_(value) {}  // NOLINT(google-explicit-constructor)

  Json(uint64_t value);  // NOLINT(google-explicit-constructor)

  Json(double value) : v_(value) {}  // NOLINT(google-explicit-constructor)

  Json(std::string value) : v_(std::move(value)) {}  // NOLINT(google-explicit-constructor)

  Json(std::string_view value) : v_(std::string(value)) {}  // NOLINT(google-explicit-constructor)

  Json(const char* value) : v_(std::string(value)) {}  // NOLINT(google-explicit-constructor)

  Json(JsonArray value) : v_(std::move(value)) {}  // NOLINT(google-explicit-constructor)

  Json(JsonObject value) : v_(std::move(value)) {}  // NOLINT(google-explicit-constructor)

  /// Json::object({{"id", 1}, {"name", "x"}})
  static Json object(std::vector<std::pair<std::string, Json>> members = {});

  static Json array(JsonArray items = {}) { return Json(std::move(items)); }

  bool is_null() const { return std::holds_alternative<std::monostate>(v_); }

  bool is_bool() const { return std::holds_alternative<bool>(v_); }

  bool is_int() const { return std::holds_alternative<int64_t>(v_); }

  bool is_double() const { return std::holds_alternative<double>(v_); }

  /// An integer from 2^63 to 2^64 - 1; is_int() and is_double() are false for it.
  bool is_uint() const { return std::holds_alternative<uint64_t>(v_); }

  bool is_number() const { return is_int() || is_uint() || is_double(); }

  bool is_string() const { return std::holds_alternative<std::string>(v_); }

  bool is_array() const { return std::holds_alternative<JsonArray>(v_); }

  bool is_object() const { return std::holds_alternative<JsonObject>(v_); }

  // The as_* accessors require the matching type (a wrong one is our bug, checked).
  bool as_bool() const;
  int64_t as_int() const;
  uint64_t as_uint() const;
  double as_number() const;  ///< of any number
  const std::string& as_string() const;
  const JsonArray& as_array() const;
  JsonArray& as_array();
  const JsonObject& as_object() const;
  JsonObject& as_object();

  /// Member of an object, nullptr if this is no object or has no such key.
  const Json* find(std::string_view key) const;

  /// "an integer", "a string", … for error messages.
  const char* type_name() const;

 private:
  std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, JsonArray, JsonObject>
      v_;
};

struct JsonMember {
  std::string key;
  Json value;
};

// Here, since a vector's members need the complete JsonMember.
inline size_t JsonObject::size() const {
  return members_.size();
}

inline bool JsonObject::empty() const {
  return members_.empty();
}

inline const std::vector<JsonMember>& JsonObject::members() const {
  return members_;
}

inline std::vector<JsonMember>& JsonObject::members() {
  return members_;
}

inline std::vector<JsonMember>::const_iterator JsonObject::begin() const {
  return members_.begin();
}

inline std::vector<JsonMember>::const_iterator JsonObject::end() const {
  return members_.end();
}

struct JsonLimits {
  int max_depth = 256;  ///< nesting of arrays and objects
  int64_t max_bytes = int64_t{1} << 31;
  int64_t max_values = INT64_MAX;        ///< arrays and objects count, and what is in them
  int64_t max_keys = INT64_MAX;          ///< of all objects together
  int64_t max_number_chars = INT64_MAX;  ///< of one number
};

/// Parses exactly one document. Errors name line and column and what was expected.
/// Integers outside 64 bits become doubles; numbers outside double are refused.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

/// Reads and parses a whole file; errors begin with its path.
Result<Json> parse_json_file(const std::string& path, const JsonLimits& limits = {});

/// The same of what read_input() takes.
Result<Json> parse_json_input(const std::string& path, const JsonLimits& limits = {});

/// Compact text: no spaces, doubles as the shortest form that reads back equal, UTF-8 kept as is.
std::string to_string(const Json& json);

/// Appends `text` as a quoted JSON string. `text` must be valid UTF-8.
void append_json_string(std::string& out, std::string_view text);

}  // namespace tutti
