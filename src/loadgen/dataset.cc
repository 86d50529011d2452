#include "loadgen/dataset.h"

#include <string_view>

#include "base/file.h"
#include "base/utf8.h"

namespace tutti::loadgen {

namespace {

std::string text_of(const Json& object, const char* key) {
  const Json* value = object.find(key);
  return value != nullptr && value->is_string() ? value->as_string() : std::string();
}

// A name that says nothing about who speaks is taken as the user's.
bool is_human(const std::string& from) {
  return from == "human" || from == "user" || from.empty();
}

std::optional<DatasetEntry> entry_of(const Json& object) {
  DatasetEntry out;
  out.prompt = text_of(object, "prompt");
  for (const char* key : {"output_tokens", "max_tokens"}) {
    const Json* value = object.find(key);
    if (value != nullptr && value->is_int() && value->as_int() > 0) {
      out.output_tokens = value->as_int();
      break;
    }
  }
  const Json* messages = object.find("messages");
  if (messages != nullptr && messages->is_array() && !messages->as_array().empty()) {
    out.messages = *messages;
    for (const Json& message : messages->as_array()) {
      out.prompt += (out.prompt.empty() ? "" : "\n") + text_of(message, "content");
    }
  }
  const Json* turns = object.find("conversations");
  if (turns != nullptr && turns->is_array()) {
    for (const Json& turn : turns->as_array()) {
      if (is_human(text_of(turn, "from"))) {
        out.prompt = text_of(turn, "value");
        break;
      }
    }
  }
  if (out.prompt.empty()) {
    return std::nullopt;
  }
  return out;
}

void add(std::vector<DatasetEntry>& entries, const Json& json) {
  if (auto entry = entry_of(json)) {
    entries.push_back(*std::move(entry));
  }
}

}  // namespace

Result<std::vector<DatasetEntry>> read_dataset(const std::string& path) {
  std::vector<DatasetEntry> entries;
  if (path.ends_with(".json")) {
    TUTTI_TRY(const Json all, parse_json_input(path));
    if (!all.is_array()) {
      return invalid("{}: wanted a JSON array of prompts, got {}", path, all.type_name());
    }
    for (const Json& item : all.as_array()) {
      add(entries, item);
    }
  } else {
    TUTTI_TRY(const std::string text, read_input(path));
    if (!is_valid_utf8(text)) {
      return invalid("{}: is no UTF-8 text", path);
    }
    const bool jsonl = path.ends_with(".jsonl");
    std::string_view rest = text;
    for (int64_t line_number = 1; !rest.empty(); ++line_number) {
      const size_t end = rest.find('\n');
      std::string_view line = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      if (line.ends_with('\r')) {
        line.remove_suffix(1);
      }
      if (line.empty()) {
        continue;
      }
      if (!jsonl) {
        entries.push_back({.prompt = std::string(line), .messages = {}, .output_tokens = {}});
        continue;
      }
      auto json = parse_json(line);
      if (!json.ok()) {
        return std::move(json).status().with_context(fmt::format("{}:{}", path, line_number));
      }
      add(entries, *json);
    }
  }
  if (entries.empty()) {
    return invalid(
        "{}: holds no prompts; wanted one per line, or JSON objects with \"prompt\", \"messages\" "
        "or \"conversations\"",
        path);
  }
  return entries;
}

}  // namespace tutti::loadgen
