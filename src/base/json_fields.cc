#include "base/json_fields.h"

#include <cmath>

namespace tutti {

std::string FieldReader::path(std::string_view key) const {
  return where_.empty() ? std::string(key) : fmt::format("{}: {}", where_, key);
}

void FieldReader::fail(std::string_view key, const std::string& what) {
  if (status_.ok()) {
    status_ =
        Status(StatusCode::kInvalidArgument, path(key) + ": " + what).with_param(std::string(key));
  }
}

void FieldReader::fail_type(std::string_view key, const Json& got, const char* wanted) {
  fail(key, fmt::format("got {}, wanted {}", got.type_name(), wanted));
}

const Json* FieldReader::find(std::string_view key) const {
  const Json* json = object_->find(key);
  return json == nullptr || json->is_null() ? nullptr : json;
}

std::optional<int64_t> FieldReader::optional_int(std::string_view key, IntRange range) {
  const Json* json = find(key);
  if (json == nullptr) {
    return std::nullopt;
  }
  // 1.0 and 1e3 are integers to every JSON writer that has only doubles.
  int64_t value = 0;
  if (json->is_int()) {
    value = json->as_int();
  } else if (json->is_double() && std::floor(json->as_number()) == json->as_number() &&
             std::abs(json->as_number()) < 9.0e15) {
    value = static_cast<int64_t>(json->as_number());
  } else if (json->is_number() && std::abs(json->as_number()) >= 0x1p63) {
    fail(key, fmt::format("got {}, wanted {} to {}", to_string(*json), range.min, range.max));
    return std::nullopt;
  } else {
    fail_type(key, *json, "an integer");
    return std::nullopt;
  }
  if (value < range.min || value > range.max) {
    fail(key,
         range.max == INT64_MAX
             ? fmt::format("got {}, wanted at least {}", value, range.min)
             : fmt::format("got {}, wanted {} to {}", value, range.min, range.max));
    return std::nullopt;
  }
  return value;
}

std::optional<double> FieldReader::optional_number(std::string_view key, NumberRange range) {
  const Json* json = find(key);
  if (json == nullptr) {
    return std::nullopt;
  }
  if (!json->is_number()) {
    fail_type(key, *json, "a number");
    return std::nullopt;
  }
  const double value = json->as_number();
  if (!(value >= range.min && value <= range.max)) {
    fail(key, fmt::format("got {}, wanted {} to {}", value, range.min, range.max));
    return std::nullopt;
  }
  return value;
}

std::optional<bool> FieldReader::optional_bool(std::string_view key) {
  const Json* json = find(key);
  if (json == nullptr) {
    return std::nullopt;
  }
  if (!json->is_bool()) {
    fail_type(key, *json, "true or false");
    return std::nullopt;
  }
  return json->as_bool();
}

std::optional<std::string> FieldReader::optional_string(std::string_view key) {
  const Json* json = find(key);
  if (json == nullptr) {
    return std::nullopt;
  }
  if (!json->is_string()) {
    fail_type(key, *json, "a string");
    return std::nullopt;
  }
  return json->as_string();
}

int64_t FieldReader::required_int(std::string_view key, IntRange range) {
  if (find(key) == nullptr) {
    fail(key, "missing; wanted an integer");
    return 0;
  }
  return optional_int(key, range).value_or(0);
}

double FieldReader::required_number(std::string_view key, NumberRange range) {
  if (find(key) == nullptr) {
    fail(key, "missing; wanted a number");
    return 0;
  }
  return optional_number(key, range).value_or(0);
}

std::string FieldReader::required_string(std::string_view key) {
  if (find(key) == nullptr) {
    fail(key, "missing; wanted a string");
    return {};
  }
  return optional_string(key).value_or("");
}

const JsonObject* FieldReader::optional_object(std::string_view key) {
  const Json* json = find(key);
  if (json != nullptr && !json->is_object()) {
    fail_type(key, *json, "an object");
    return nullptr;
  }
  return json == nullptr ? nullptr : &json->as_object();
}

const JsonArray* FieldReader::optional_array(std::string_view key) {
  const Json* json = find(key);
  if (json != nullptr && !json->is_array()) {
    fail_type(key, *json, "an array");
    return nullptr;
  }
  return json == nullptr ? nullptr : &json->as_array();
}

}  // namespace tutti
