#include "serve/openai/message_fields.h"

#include "base/field_error.h"
#include "serve/request_parts.h"

namespace tutti {

namespace {

Result<std::string> text_of_part(const Json& part, const std::string& path) {
  if (!part.is_object()) {
    return field_error(path, fmt::format("got {}, wanted an object with a type", part.type_name()));
  }
  const Json* type = part.find("type");
  if (type == nullptr || !type->is_string()) {
    return field_error(path + ".type", "missing; wanted \"text\"");
  }
  const std::string& name = type->as_string();
  if (name != "text" && name != "refusal") {
    constexpr std::string_view kMedia[] = {
        "image_url", "input_image", "image", "input_audio", "audio_url", "video_url", "file"};
    for (const std::string_view media : kMedia) {
      if (name == media) {
        return unsupported_at(path, fmt::format("content of type {} is", name));
      }
    }
    return field_error(path + ".type",
                       fmt::format("got \"{}\", wanted \"text\"", name.substr(0, 80)));
  }
  const Json* text = part.find(name);
  if (text == nullptr || !text->is_string()) {
    return field_error(path + "." + name, "missing or no string; wanted the text");
  }
  return text->as_string();
}

// A string, or a list of text parts: whether it becomes one text is the template's matter.
Result<Json> text_of(const Json* content, const std::string& path) {
  if (content == nullptr || content->is_null()) {
    return Json();
  }
  if (content->is_string()) {
    return *content;
  }
  if (!content->is_array()) {
    return field_error(
        path, fmt::format("got {}, wanted a string or a list of parts", content->type_name()));
  }
  JsonArray parts;
  for (const Json& part : content->as_array()) {
    TUTTI_TRY(std::string text, text_of_part(part, fmt::format("{}[{}]", path, parts.size())));
    parts.push_back(Json::object({{"type", "text"}, {"text", std::move(text)}}));
  }
  return Json(std::move(parts));
}

Status check_tool_call(const Json& call, const std::string& path) {
  if (!call.is_object()) {
    return field_error(path, fmt::format("got {}, wanted an object", call.type_name()));
  }
  const Json* type = call.find("type");
  if (type != nullptr && !(type->is_string() && type->as_string() == "function")) {
    return unsupported_at(path + ".type", "a type other than \"function\" is");
  }
  const Json* function = call.find("function");
  if (function == nullptr || !function->is_object()) {
    return field_error(path + ".function", "missing or no object; wanted a name and arguments");
  }
  const Json* name = function->find("name");
  if (name == nullptr || !name->is_string()) {
    return field_error(path + ".function.name", "missing or no string");
  }
  const Json* arguments = function->find("arguments");
  if (arguments != nullptr && !arguments->is_string() && !arguments->is_object()) {
    return field_error(
        path + ".function.arguments",
        fmt::format("got {}, wanted JSON text or an object", arguments->type_name()));
  }
  return ok_status();
}

// The calls of one message; an empty list means none, as clients send it.
Result<const Json*> tool_calls_of(const Json& message,
                                  const std::string& role,
                                  const std::string& path) {
  const Json* calls = message.find("tool_calls");
  if (calls == nullptr || calls->is_null() || (calls->is_array() && calls->as_array().empty())) {
    return nullptr;
  }
  const std::string calls_path = path + ".tool_calls";
  if (role != "assistant") {
    return field_error(calls_path, "only messages of role assistant have tool calls");
  }
  if (!calls->is_array()) {
    return field_error(calls_path, fmt::format("got {}, wanted a list", calls->type_name()));
  }
  for (size_t i = 0; i < calls->as_array().size(); ++i) {
    TUTTI_RETURN_IF_ERROR(
        check_tool_call(calls->as_array()[i], fmt::format("{}[{}]", calls_path, i)));
  }
  return calls;
}

Result<std::string> role_of(const Json& message, const std::string& path) {
  const Json* role = message.find("role");
  if (role == nullptr || !role->is_string()) {
    return field_error(path + ".role",
                       "missing or no string; wanted system, user, assistant or tool");
  }
  const std::string& name = role->as_string();
  if (name == "function") {
    return unsupported_at(path + ".role", "messages of role function (send role tool) are");
  }
  if (name == "developer") {
    return std::string("system");  // OpenAI's newer word for it
  }
  if (name != "system" && name != "user" && name != "assistant" && name != "tool") {
    return field_error(path + ".role",
                       fmt::format("got \"{}\", wanted system, developer, user, assistant or tool",
                                   name.substr(0, 80)));
  }
  return name;
}

Result<Json> normalise(const Json& message, const std::string& path) {
  if (!message.is_object()) {
    return field_error(path, fmt::format("got {}, wanted an object", message.type_name()));
  }
  TUTTI_TRY(std::string role, role_of(message, path));
  const Json* old_call = message.find("function_call");
  if (old_call != nullptr && !old_call->is_null()) {
    return unsupported_at(path + ".function_call", "this field (send tool_calls) is");
  }
  TUTTI_TRY(const Json* calls, tool_calls_of(message, role, path));
  const Json* content = message.find("content");
  if (role != "assistant" && (content == nullptr || content->is_null())) {
    return field_error(path + ".content", "missing; wanted a string or a list of parts");
  }
  for (const char* field : {"name", "reasoning_content", "tool_call_id"}) {
    const Json* text = message.find(field);
    if (text != nullptr && !text->is_null() && !text->is_string()) {
      return field_error(path + "." + field,
                         fmt::format("got {}, wanted a string", text->type_name()));
    }
  }
  TUTTI_TRY(Json text, text_of(content, path + ".content"));
  if (text.is_null() && calls == nullptr) {
    text = Json("");
  }
  JsonObject out = message.as_object();
  out.set("role", Json(std::move(role)));
  out.set("content", std::move(text));
  return Json(std::move(out));
}

}  // namespace

Result<Json> normalise_messages(const JsonArray& messages, const RequestLimits& limits) {
  if (messages.empty()) {
    return field_error("messages", "empty; wanted at least one message");
  }
  if (messages.size() > static_cast<size_t>(limits.messages)) {
    return field_error(
        "messages",
        fmt::format("got {} messages, at most {} are taken", messages.size(), limits.messages));
  }
  JsonArray out;
  out.reserve(messages.size());
  for (size_t i = 0; i < messages.size(); ++i) {
    TUTTI_TRY(Json message, normalise(messages[i], fmt::format("messages[{}]", i)));
    out.push_back(std::move(message));
  }
  return Json(std::move(out));
}

}  // namespace tutti
