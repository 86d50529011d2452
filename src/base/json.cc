#include "base/json.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <functional>

#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "base/check.h"
#include "base/file.h"
#include "base/utf8.h"

namespace tutti {

namespace {

// Below this many members a linear scan is faster than hashing.
constexpr size_t kIndexThreshold = 16;

size_t hash_key(std::string_view key) {
  return std::hash<std::string_view>{}(key);
}

}  // namespace

JsonObject::JsonObject() = default;
JsonObject::JsonObject(const JsonObject& other) = default;
JsonObject::JsonObject(JsonObject&& other) noexcept = default;
JsonObject& JsonObject::operator=(const JsonObject& other) = default;
JsonObject& JsonObject::operator=(JsonObject&& other) noexcept = default;
JsonObject::~JsonObject() = default;

std::ptrdiff_t JsonObject::index_of(std::string_view key) const {
  if (table_.empty()) {
    for (size_t i = 0; i < members_.size(); ++i) {
      if (members_[i].key == key) {
        return static_cast<std::ptrdiff_t>(i);
      }
    }
    return -1;
  }
  const size_t mask = table_.size() - 1;
  for (size_t slot = hash_key(key) & mask; table_[slot] != 0; slot = (slot + 1) & mask) {
    if (members_[table_[slot] - 1].key == key) {
      return static_cast<std::ptrdiff_t>(table_[slot]) - 1;
    }
  }
  return -1;
}

const Json* JsonObject::find(std::string_view key) const {
  const std::ptrdiff_t i = index_of(key);
  return i < 0 ? nullptr : &members_[static_cast<size_t>(i)].value;
}

Json* JsonObject::find(std::string_view key) {
  const std::ptrdiff_t i = index_of(key);
  return i < 0 ? nullptr : &members_[static_cast<size_t>(i)].value;
}

void JsonObject::index_last() {
  if (members_.size() <= kIndexThreshold) {
    return;
  }
  const auto insert = [this](size_t position) {
    const size_t mask = table_.size() - 1;
    size_t slot = hash_key(members_[position].key) & mask;
    while (table_[slot] != 0) {
      slot = (slot + 1) & mask;
    }
    table_[slot] = static_cast<uint32_t>(position + 1);
  };
  if (table_.size() < members_.size() * 2) {
    table_.assign(std::max<size_t>(64, table_.size() * 2), 0);
    for (size_t i = 0; i < members_.size(); ++i) {
      insert(i);
    }
  } else {
    insert(members_.size() - 1);
  }
}

void JsonObject::append(std::string key, Json value) {
  members_.push_back({std::move(key), std::move(value)});
  index_last();
}

Json& JsonObject::set(std::string key, Json value) {
  if (Json* found = find(key)) {
    *found = std::move(value);
    return *found;
  }
  append(std::move(key), std::move(value));
  return members_.back().value;
}

Json Json::object(std::vector<std::pair<std::string, Json>> members) {
  JsonObject object;
  for (auto& [key, value] : members) {
    object.append(std::move(key), std::move(value));
  }
  return Json(std::move(object));
}

Json::Json(uint64_t value) {
  if (value <= static_cast<uint64_t>(INT64_MAX)) {
    v_ = static_cast<int64_t>(value);  // one form for one value
  } else {
    v_ = value;
  }
}

bool Json::as_bool() const {
  TUTTI_CHECK(is_bool());
  return std::get<bool>(v_);
}

int64_t Json::as_int() const {
  TUTTI_CHECK(is_int());
  return std::get<int64_t>(v_);
}

uint64_t Json::as_uint() const {
  TUTTI_CHECK(is_uint());
  return std::get<uint64_t>(v_);
}

double Json::as_number() const {
  TUTTI_CHECK(is_number());
  if (is_int()) {
    return static_cast<double>(std::get<int64_t>(v_));
  }
  return is_uint() ? static_cast<double>(std::get<uint64_t>(v_)) : std::get<double>(v_);
}

const std::string& Json::as_string() const {
  TUTTI_CHECK(is_string());
  return std::get<std::string>(v_);
}

const JsonArray& Json::as_array() const {
  TUTTI_CHECK(is_array());
  return std::get<JsonArray>(v_);
}

JsonArray& Json::as_array() {
  TUTTI_CHECK(is_array());
  return std::get<JsonArray>(v_);
}

const JsonObject& Json::as_object() const {
  TUTTI_CHECK(is_object());
  return std::get<JsonObject>(v_);
}

JsonObject& Json::as_object() {
  TUTTI_CHECK(is_object());
  return std::get<JsonObject>(v_);
}

const Json* Json::find(std::string_view key) const {
  return is_object() ? std::get<JsonObject>(v_).find(key) : nullptr;
}

const char* Json::type_name() const {
  if (is_null()) {
    return "null";
  }
  if (is_bool()) {
    return "a boolean";
  }
  if (is_int() || is_uint()) {
    return "an integer";
  }
  if (is_double()) {
    // Digits alone can end here: an integer that no 64 bits hold.
    return std::abs(as_number()) >= 0x1p63 ? "a number beyond 64 bits"
                                           : "a number with a fraction or exponent";
  }
  if (is_string()) {
    return "a string";
  }
  return is_array() ? "an array" : "an object";
}

namespace {

// SAX handler that builds a Json tree; returning false stops the parse with `error` set.
class Builder {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  bool Null() { return put(Json()); }

  bool Bool(bool b) { return put(Json(b)); }

  // Of a number whose form RapidJSON has checked. What std::from_chars makes of it is exact, and
  // defined for "0e306", where RapidJSON's own conversion counts the leading zeros of 0.
  bool RawNumber(const char* s, rapidjson::SizeType n, bool) {
    if (static_cast<int64_t>(n) > limits_.max_number_chars) {
      return exceed(fmt::format("a number has more than {} characters", limits_.max_number_chars));
    }
    const std::string_view text(s, n);
    if (text.find_first_of(".eE") == std::string_view::npos) {
      int64_t i = 0;
      if (std::from_chars(s, s + n, i).ec == std::errc()) {
        return put(Json(i));
      }
      uint64_t u = 0;
      if (std::from_chars(s, s + n, u).ec == std::errc()) {
        return put(Json(u));
      }
    }
    double d = 0;
    if (std::from_chars(s, s + n, d).ec != std::errc()) {
      d = std::strtod(std::string(text).c_str(), nullptr);  // tells too small (0) from too big
    }
    return std::isfinite(d) ? put(Json(d)) : fail("number too big to be stored in a double");
  }

  // Numbers come as text.
  bool Int(int) { return false; }

  bool Uint(unsigned) { return false; }

  bool Int64(int64_t) { return false; }

  bool Uint64(uint64_t) { return false; }

  bool Double(double) { return false; }

  bool String(const char* s, rapidjson::SizeType n, bool) {
    return has_surrogate({s, n}) ? fail("lone surrogate in a \\u escape")
                                 : put(Json(std::string(s, n)));
  }

  bool Key(const char* s, rapidjson::SizeType n, bool) {
    if (++keys_ > limits_.max_keys) {
      return exceed(fmt::format("there are more than {} keys", limits_.max_keys));
    }
    if (has_surrogate({s, n})) {
      return fail("lone surrogate in a \\u escape");
    }
    Frame& top = stack_.back();
    top.key.assign(s, n);
    if (top.object.contains(top.key)) {
      return fail(fmt::format("duplicate key \"{}\"", top.key.substr(0, 80)));
    }
    return true;
  }

  bool StartObject() { return push(/*is_object=*/true); }

  bool StartArray() { return push(/*is_object=*/false); }

  bool EndObject(rapidjson::SizeType) {
    Json done(std::move(stack_.back().object));
    stack_.pop_back();
    return place(std::move(done));
  }

  bool EndArray(rapidjson::SizeType) {
    Json done(std::move(stack_.back().array));
    stack_.pop_back();
    return place(std::move(done));
  }

  Json take() { return std::move(root_); }

  const std::string& error() const { return error_; }

  /// `error` is about a limit: the text may be JSON.
  bool exceeded() const { return exceeded_; }

 private:
  struct Frame {
    bool is_object = false;
    JsonObject object;
    JsonArray array;
    std::string key;
  };

  bool fail(std::string what) {
    error_ = std::move(what);
    return false;
  }

  bool exceed(std::string what) {
    exceeded_ = true;
    return fail(std::move(what));
  }

  // Before a value is made, so that what is too much is not even begun.
  bool count_value() {
    return ++values_ <= limits_.max_values ||
           exceed(fmt::format("there are more than {} values", limits_.max_values));
  }

  // RapidJSON checks the pairing of high surrogates only and encodes a lone low one (\udc00) as if
  // it were a character. The bytes of a surrogate begin with ED.
  static bool has_surrogate(std::string_view text) {
    return text.find('\xED') != std::string_view::npos && !is_valid_utf8(text);
  }

  bool push(bool is_object) {
    if (!count_value()) {
      return false;
    }
    if (static_cast<int>(stack_.size()) >= limits_.max_depth) {
      return fail(fmt::format("nested deeper than {} levels", limits_.max_depth));
    }
    stack_.emplace_back();
    stack_.back().is_object = is_object;
    return true;
  }

  bool put(Json value) { return count_value() && place(std::move(value)); }

  bool place(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
    } else if (stack_.back().is_object) {
      stack_.back().object.append(std::move(stack_.back().key), std::move(value));
    } else {
      stack_.back().array.push_back(std::move(value));
    }
    return true;
  }

  JsonLimits limits_;
  int64_t values_ = 0;
  int64_t keys_ = 0;
  bool exceeded_ = false;
  std::vector<Frame> stack_;
  Json root_;
  std::string error_;
};

std::string place_of(std::string_view text, size_t offset) {
  offset = std::min(offset, text.size());
  size_t line = 1;
  size_t column = 1;
  for (size_t i = 0; i < offset; ++i) {
    ++column;
    if (text[i] == '\n') {
      ++line;
      column = 1;
    }
  }
  return fmt::format("line {}, column {}", line, column);
}

Status describe(std::string_view text, size_t offset, const std::string& what) {
  return invalid("invalid JSON at {}: {}", place_of(text, offset), what);
}

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.max_bytes) {
    return error(StatusCode::kPayloadTooLarge,
                 "JSON text of {} bytes is over the limit of {}",
                 text.size(),
                 limits.max_bytes);
  }
  // RapidJSON's encoded streams stop at a NUL byte; say so instead of reporting a truncated
  // document.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return describe(text, nul, "NUL byte");
  }
  Builder builder(limits);
  rapidjson::MemoryStream stream(text.data(), text.size());
  rapidjson::EncodedInputStream<rapidjson::UTF8<>, rapidjson::MemoryStream> input(stream);
  rapidjson::Reader reader;
  constexpr unsigned kFlags = rapidjson::kParseIterativeFlag |
                              rapidjson::kParseNumbersAsStringsFlag |
                              rapidjson::kParseValidateEncodingFlag;
  const rapidjson::ParseResult result = reader.Parse<kFlags>(input, builder);
  if (result.IsError() && builder.exceeded()) {
    return invalid(
        "too much in the JSON text: {} ({})", builder.error(), place_of(text, result.Offset()));
  }
  if (result.IsError()) {
    return describe(
        text,
        result.Offset(),
        builder.error().empty() ? rapidjson::GetParseError_En(result.Code()) : builder.error());
  }
  return builder.take();
}

namespace {

Result<Json> parse_named(std::string_view text, const std::string& name, const JsonLimits& limits) {
  Result<Json> parsed = parse_json(text, limits);
  if (!parsed.ok()) {
    return std::move(parsed).status().with_context(name);
  }
  return parsed;
}

}  // namespace

Result<Json> parse_json_file(const std::string& path, const JsonLimits& limits) {
  TUTTI_TRY(const std::string text, read_file(path, limits.max_bytes));
  return parse_named(text, path, limits);
}

Result<Json> parse_json_input(const std::string& path, const JsonLimits& limits) {
  TUTTI_TRY(const std::string text, read_input(path, limits.max_bytes));
  return parse_named(text, input_name(path), limits);
}

namespace {

using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

void write(Writer& writer, const Json& json) {
  if (json.is_null()) {
    writer.Null();
  } else if (json.is_bool()) {
    writer.Bool(json.as_bool());
  } else if (json.is_int()) {
    writer.Int64(json.as_int());
  } else if (json.is_uint()) {
    writer.Uint64(json.as_uint());
  } else if (json.is_double()) {
    writer.Double(json.as_number());
  } else if (json.is_string()) {
    writer.String(json.as_string().data(),
                  static_cast<rapidjson::SizeType>(json.as_string().size()));
  } else if (json.is_array()) {
    writer.StartArray();
    for (const Json& item : json.as_array()) {
      write(writer, item);
    }
    writer.EndArray();
  } else {
    writer.StartObject();
    for (const JsonMember& m : json.as_object()) {
      writer.Key(m.key.data(), static_cast<rapidjson::SizeType>(m.key.size()));
      write(writer, m.value);
    }
    writer.EndObject();
  }
}

}  // namespace

std::string to_string(const Json& json) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  write(writer, json);
  return {buffer.GetString(), buffer.GetSize()};
}

void append_json_string(std::string& out, std::string_view text) {
  // By hand, since every streamed token passes here: most need no escape and become one copy.
  constexpr std::string_view kHex = "0123456789ABCDEF";
  out += '"';
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') {
      continue;
    }
    out += text.substr(begin, i - begin);
    begin = i + 1;
    out += '\\';
    switch (c) {
      case '\b':
        out += 'b';
        break;
      case '\f':
        out += 'f';
        break;
      case '\n':
        out += 'n';
        break;
      case '\r':
        out += 'r';
        break;
      case '\t':
        out += 't';
        break;
      case '"':
      case '\\':
        out += static_cast<char>(c);
        break;
      default:
        out += "u00";
        out += kHex[c >> 4U];
        out += kHex[c & 15U];
    }
  }
  out += text.substr(begin);
  out += '"';
}

}  // namespace tutti
