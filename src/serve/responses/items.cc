#include <algorithm>

#include "base/field_error.h"
#include "serve/request_parts.h"
#include "serve/responses/responses.h"

namespace tutti {

Status ItemChat::add(const Json& item, const std::string& path) {
  if (!item.is_object()) {
    return field_error(path, fmt::format("got {}, wanted an item", item.type_name()));
  }
  const Json* type = item.find("type");
  const std::string name =
      type == nullptr || !type->is_string() ? "message" : type->as_string().substr(0, 80);
  if (name == "message") {
    return add_message(item, path);
  }
  if (name == "function_call") {
    return add_call(item, path);
  }
  if (name == "reasoning") {
    return add_reasoning(item, path);
  }
  if (name != "function_call_output") {
    return unsupported_at(path + ".type", fmt::format("items of type {} are", name));
  }
  TUTTI_TRY(std::string id, string_member(item, "call_id", path));
  const Json* output = item.find("output");
  TUTTI_TRY(std::string text,
            text_of_parts(output == nullptr ? Json() : *output, path + ".output", {"input_text"}));
  messages_.push_back(Json::object(
      {{"role", "tool"}, {"tool_call_id", std::move(id)}, {"content", std::move(text)}}));
  return ok_status();
}

void ItemChat::begin_with(std::string instructions) {
  messages_.insert(messages_.begin(),
                   Json::object({{"role", "system"}, {"content", std::move(instructions)}}));
}

Status ItemChat::add_message(const Json& item, const std::string& path) {
  TUTTI_TRY(std::string role, string_member(item, "role", path));
  const Json* content = item.find("content");
  TUTTI_TRY(std::string text,
            text_of_parts(content == nullptr ? Json() : *content,
                          path + ".content",
                          {"input_text", "output_text", "text", "refusal"}));
  messages_.push_back(Json::object({{"role", std::move(role)}, {"content", std::move(text)}}));
  if (messages_.back().find("role")->as_string() == "assistant" && !reasoning_.empty()) {
    messages_.back().as_object().append("reasoning_content", std::exchange(reasoning_, {}));
  }
  return ok_status();
}

// The assistant's turn that is still open, or a new one.
Json& ItemChat::assistant() {
  const bool open = !messages_.empty() && reasoning_.empty() &&
                    messages_.back().find("role")->as_string() == "assistant";
  if (!open) {
    messages_.push_back(Json::object({{"role", "assistant"}, {"content", ""}}));
    if (!reasoning_.empty()) {
      messages_.back().as_object().append("reasoning_content", std::exchange(reasoning_, {}));
    }
  }
  return messages_.back();
}

Status ItemChat::add_call(const Json& item, const std::string& path) {
  TUTTI_TRY(std::string id, string_member(item, "call_id", path));
  TUTTI_TRY(std::string name, string_member(item, "name", path));
  TUTTI_TRY(std::string arguments, string_member(item, "arguments", path));
  Json call = tool_call(std::move(id), std::move(name), std::move(arguments));
  JsonObject& message = assistant().as_object();
  if (Json* calls = message.find("tool_calls")) {
    calls->as_array().push_back(std::move(call));
  } else {
    message.append("tool_calls", Json::array({std::move(call)}));
  }
  return ok_status();
}

// Its content; where there is none, its summary.
Status ItemChat::add_reasoning(const Json& item, const std::string& path) {
  for (const char* name : {"content", "summary"}) {
    const Json* parts = item.find(name);
    if (parts == nullptr || parts->is_null()) {
      continue;
    }
    TUTTI_TRY(const std::string text,
              text_of_parts(
                  *parts, fmt::format("{}.{}", path, name), {"reasoning_text", "summary_text"}));
    if (!text.empty()) {
      reasoning_ += text;
      break;
    }
  }
  return ok_status();
}

}  // namespace tutti
