#include "serve/chat_messages.h"

namespace tutti {

namespace {

Status at(const std::string& path, const std::string& what) {
  return invalid("{}: {}", path, what).with_param(path);
}

Status unsupported_at(const std::string& path, const std::string& what) {
  return error(StatusCode::kUnsupported, "{}: {} not supported yet", path, what).with_param(path);
}

Result<std::string> text_of_part(const Json& part, const std::string& path) {
  if (!part.is_object()) {
    return at(path, fmt::format("got {}, wanted an object with a type", part.type_name()));
  }
  const Json* type = part.find("type");
  if (type == nullptr || !type->is_string()) {
    return at(path + ".type", "missing; wanted \"text\"");
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
    return at(path + ".type", fmt::format("got \"{}\", wanted \"text\"", name.substr(0, 80)));
  }
  const Json* text = part.find(name);
  if (text == nullptr || !text->is_string()) {
    return at(path + "." + name, "missing or no string; wanted the text");
  }
  return text->as_string();
}

Result<std::string> text_of(const Json* content, const std::string& path) {
  if (content == nullptr || content->is_null()) {
    return std::string();
  }
  if (content->is_string()) {
    return content->as_string();
  }
  if (!content->is_array()) {
    return at(path,
              fmt::format("got {}, wanted a string or a list of parts", content->type_name()));
  }
  std::string joined;
  size_t i = 0;
  for (const Json& part : content->as_array()) {
    TUTTI_TRY(const std::string text, text_of_part(part, fmt::format("{}[{}]", path, i)));
    joined += (i == 0 ? "" : "\n") + text;
    ++i;
  }
  return joined;
}

Result<std::string> role_of(const Json& message, const std::string& path) {
  const Json* role = message.find("role");
  if (role == nullptr || !role->is_string()) {
    return at(path + ".role", "missing or no string; wanted system, user or assistant");
  }
  const std::string& name = role->as_string();
  if (name == "tool" || name == "function") {
    return unsupported_at(path + ".role", fmt::format("messages of role {} are", name));
  }
  if (name == "developer") {
    return std::string("system");  // OpenAI's newer word for it
  }
  if (name != "system" && name != "user" && name != "assistant") {
    return at(
        path + ".role",
        fmt::format("got \"{}\", wanted system, developer, user or assistant", name.substr(0, 80)));
  }
  return name;
}

Result<Json> normalise(const Json& message, const std::string& path) {
  if (!message.is_object()) {
    return at(path, fmt::format("got {}, wanted an object", message.type_name()));
  }
  TUTTI_TRY(std::string role, role_of(message, path));
  for (const char* field : {"tool_calls", "function_call"}) {
    const Json* calls = message.find(field);
    const bool none =
        calls == nullptr || calls->is_null() || (calls->is_array() && calls->as_array().empty());
    if (!none) {
      return unsupported_at(path + "." + field, "tool calls are");
    }
  }
  const Json* content = message.find("content");
  if (role != "assistant" && (content == nullptr || content->is_null())) {
    return at(path + ".content", "missing; wanted a string or a list of parts");
  }
  for (const char* field : {"name", "reasoning_content"}) {
    const Json* text = message.find(field);
    if (text != nullptr && !text->is_null() && !text->is_string()) {
      return at(path + "." + field, fmt::format("got {}, wanted a string", text->type_name()));
    }
  }
  TUTTI_TRY(std::string text, text_of(content, path + ".content"));
  JsonObject out = message.as_object();
  out.set("role", Json(std::move(role)));
  out.set("content", Json(std::move(text)));
  return Json(std::move(out));
}

}  // namespace

Result<Json> normalise_messages(const JsonArray& messages, const RequestLimits& limits) {
  if (messages.empty()) {
    return at("messages", "empty; wanted at least one message");
  }
  if (messages.size() > static_cast<size_t>(limits.messages)) {
    return at(
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
