#include "supervise/yaml.h"

#include <optional>
#include <string>

#include <yaml.h>

namespace tutti {

namespace {

constexpr int kMostDepth = 32;

class Parser {
 public:
  explicit Parser(std::string_view text) {
    yaml_parser_initialize(&parser_);
    yaml_parser_set_input_string(
        &parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
  }

  ~Parser() {
    yaml_event_delete(&event_);
    yaml_parser_delete(&parser_);
  }

  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  Result<Json> document() {
    TUTTI_RETURN_IF_ERROR(next());  // the stream's beginning
    TUTTI_RETURN_IF_ERROR(next());
    if (event_.type == YAML_STREAM_END_EVENT) {
      return Json();
    }
    TUTTI_RETURN_IF_ERROR(next());
    TUTTI_TRY(Json value, node(0));
    TUTTI_RETURN_IF_ERROR(next());  // the document's end
    TUTTI_RETURN_IF_ERROR(next());
    if (event_.type != YAML_STREAM_END_EVENT) {
      return wrong("a second document; one is wanted");
    }
    return value;
  }

 private:
  Status wrong(std::string_view what) const {
    return invalid(
        "line {}, column {}: {}", event_.start_mark.line + 1, event_.start_mark.column + 1, what);
  }

  Status next() {
    yaml_event_delete(&event_);
    event_ = yaml_event_t{};
    if (yaml_parser_parse(&parser_, &event_) == 0) {
      return invalid("line {}, column {}: {}",
                     parser_.problem_mark.line + 1,
                     parser_.problem_mark.column + 1,
                     parser_.problem == nullptr ? "no YAML" : parser_.problem);
    }
    return ok_status();
  }

  // Of the event in hand; ends with the last event of the node in hand.
  Result<Json> node(int depth) {
    if (depth > kMostDepth) {
      return wrong("nested too deep");
    }
    switch (event_.type) {
      case YAML_SCALAR_EVENT:
        return scalar();
      case YAML_SEQUENCE_START_EVENT:
        return sequence(depth);
      case YAML_MAPPING_START_EVENT:
        return mapping(depth);
      case YAML_ALIAS_EVENT:
        return wrong("anchors and aliases are not read here; write it out");
      default:
        return wrong("a value is missing");
    }
  }

  Result<Json> sequence(int depth) {
    JsonArray items;
    TUTTI_RETURN_IF_ERROR(next());
    while (event_.type != YAML_SEQUENCE_END_EVENT) {
      TUTTI_TRY(Json item, node(depth + 1));
      items.push_back(std::move(item));
      TUTTI_RETURN_IF_ERROR(next());
    }
    return Json(std::move(items));
  }

  Result<Json> mapping(int depth) {
    JsonObject object;
    TUTTI_RETURN_IF_ERROR(next());
    while (event_.type != YAML_MAPPING_END_EVENT) {
      if (event_.type != YAML_SCALAR_EVENT) {
        return wrong("a key must be a word");
      }
      std::string key = text();
      if (object.contains(key)) {
        return wrong(fmt::format("\"{}\" is there twice", key));
      }
      TUTTI_RETURN_IF_ERROR(next());
      TUTTI_TRY(Json value, node(depth + 1));
      object.append(std::move(key), std::move(value));
      TUTTI_RETURN_IF_ERROR(next());
    }
    return Json(std::move(object));
  }

  std::string text() const {
    const auto& scalar = event_.data.scalar;
    return {reinterpret_cast<const char*>(scalar.value), scalar.length};
  }

  Result<Json> scalar() const {
    std::string value = text();
    const auto& event = event_.data.scalar;
    if (event.tag != nullptr) {
      return wrong("tags are not read here");
    }
    if (event.style != YAML_PLAIN_SCALAR_STYLE) {
      return Json(std::move(value));
    }
    if (value.empty() || value == "~" || value == "null" || value == "Null" || value == "NULL") {
      return Json();
    }
    if (value == "true" || value == "True" || value == "TRUE") {
      return Json(true);
    }
    if (value == "false" || value == "False" || value == "FALSE") {
      return Json(false);
    }
    const char first = value.front();
    if ((first >= '0' && first <= '9') || first == '-') {
      const Result<Json> number = parse_json(value);  // the numbers of both are the same
      if (number.ok() && number->is_number()) {
        return Json(*number);
      }
    }
    return Json(std::move(value));
  }

  yaml_parser_t parser_{};
  yaml_event_t event_{};
};

}  // namespace

Result<Json> parse_yaml(std::string_view text) {
  return Parser(text).document();
}

}  // namespace tutti
