#include "serve/request_parts.h"

#include <algorithm>

#include "base/field_error.h"
#include "serve/answer_form.h"
#include "serve/tool_choice.h"

namespace tutti {

namespace {

constexpr size_t kShown = 80;

Status add_stop(const Json& json,
                const std::string& path,
                const RequestLimits& limits,
                std::vector<std::string>& out) {
  if (!json.is_string()) {
    return field_error(path, fmt::format("got {}, wanted a string", json.type_name()));
  }
  const std::string& text = json.as_string();
  if (text.empty() || text.size() > static_cast<size_t>(limits.stop_string_bytes)) {
    return field_error(
        path, fmt::format("got {} bytes, wanted 1 to {}", text.size(), limits.stop_string_bytes));
  }
  out.push_back(text);
  return ok_status();
}

}  // namespace

Status read_stops(const Json& stop,
                  const std::string& path,
                  const RequestLimits& limits,
                  std::vector<std::string>& out) {
  if (stop.is_string()) {
    return add_stop(stop, path, limits, out);
  }
  if (!stop.is_array()) {
    return field_error(path, fmt::format("got {}, wanted a string or a list", stop.type_name()));
  }
  const JsonArray& items = stop.as_array();
  if (items.size() > static_cast<size_t>(limits.stop_strings)) {
    return field_error(
        path, fmt::format("got {} strings, at most {}", items.size(), limits.stop_strings));
  }
  for (size_t i = 0; i < items.size(); ++i) {
    TUTTI_RETURN_IF_ERROR(add_stop(items[i], fmt::format("{}[{}]", path, i), limits, out));
  }
  return ok_status();
}

Status unsupported_at(const std::string& path, const std::string& what) {
  return error(StatusCode::kUnsupported, "{}: {} not supported yet", path, what).with_param(path);
}

Result<Json> function_tool(const Json& tool, const std::string& path, const char* schema) {
  TUTTI_TRY(std::string name, string_member(tool, "name", path));
  if (name.empty()) {
    return field_error(path + ".name", "empty; wanted the name of a function");
  }
  Json function = Json::object({{"name", std::move(name)}});
  const Json* description = tool.find("description");
  if (description != nullptr && description->is_string()) {
    function.as_object().append("description", *description);
  }
  const Json* parameters = tool.find(schema);
  if (parameters != nullptr && !parameters->is_null()) {
    if (!parameters->is_object()) {
      return field_error(fmt::format("{}.{}", path, schema),
                         fmt::format("got {}, wanted a JSON schema", parameters->type_name()));
    }
    function.as_object().append("parameters", *parameters);
  }
  const Json* strict = tool.find("strict");
  if (strict != nullptr && strict->is_bool()) {
    function.as_object().append("strict", *strict);
  }
  return Json::object({{"type", "function"}, {"function", std::move(function)}});
}

Json tool_call(Json id, Json name, Json arguments) {
  return Json::object(
      {{"id", std::move(id)},
       {"type", "function"},
       {"function",
        Json::object({{"name", std::move(name)}, {"arguments", std::move(arguments)}})}});
}

Status take_tools(JsonArray tools, const RequestLimits& limits, CanonicalRequest& out) {
  if (tools.size() > static_cast<size_t>(limits.tools)) {
    return field_error(
        "tools", fmt::format("got {} tools, at most {} are taken", tools.size(), limits.tools));
  }
  if (!tools.empty()) {
    out.chat.tools = std::make_shared<const Json>(std::move(tools));
    out.wish.strict_calls = any_strict(*out.chat.tools);
  }
  return ok_status();
}

Status take_tool_choice(const Json& choice, const std::string& path, CanonicalRequest& out) {
  return choose_tools(choice, path, out);
}

Status take_response_format(const Json& format, const std::string& path, CanonicalRequest& out) {
  TUTTI_TRY(out.wish.answer, read_response_format(format, path));
  if (out.wish.answer.has_value()) {
    out.wish.answer->field = path;
  }
  return ok_status();
}

Result<std::string> text_of_parts(const Json& content,
                                  const std::string& path,
                                  std::initializer_list<std::string_view> text_types) {
  if (content.is_string()) {
    return content.as_string();
  }
  if (!content.is_array()) {
    return field_error(
        path, fmt::format("got {}, wanted a string or a list of parts", content.type_name()));
  }
  std::string out;
  for (size_t i = 0; i < content.as_array().size(); ++i) {
    const Json& part = content.as_array()[i];
    const std::string part_path = fmt::format("{}[{}]", path, i);
    TUTTI_TRY(const std::string type, string_member(part, "type", part_path));
    if (std::find(text_types.begin(), text_types.end(), type) == text_types.end()) {
      return unsupported_at(part_path,
                            fmt::format("content of type {} is", type.substr(0, kShown)));
    }
    TUTTI_TRY(const std::string text,
              string_member(part, type == "refusal" ? "refusal" : "text", part_path));
    out += text;
  }
  return out;
}

Result<std::string> string_member(const Json& object, const char* name, const std::string& path) {
  if (!object.is_object()) {
    return field_error(path, fmt::format("got {}, wanted an object", object.type_name()));
  }
  const Json* text = object.find(name);
  if (text == nullptr || !text->is_string()) {
    return field_error(fmt::format("{}.{}", path, name),
                       text == nullptr ? std::string("missing; wanted a string")
                                       : fmt::format("got {}, wanted a string", text->type_name()));
  }
  return text->as_string();
}

Result<int64_t> count_prompt_tokens(const CanonicalRequest& request, const LanguageModel& model) {
  TUTTI_TRY(const Prompt prompt, model.prepare(request.chat));
  return static_cast<int64_t>(prompt.tokens.size());
}

}  // namespace tutti
