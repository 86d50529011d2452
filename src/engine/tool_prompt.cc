#include "engine/tool_prompt.h"

#include <string>
#include <utility>

namespace tutti {

namespace {

std::string described(const Json& tools) {
  std::string text = "You can call these tools, each described by one line of JSON:\n";
  for (const Json& tool : tools.as_array()) {
    const Json* function = tool.find("function");
    text += to_string(function != nullptr ? *function : tool) + "\n";
  }
  text +=
      "Call a tool when it helps, with arguments that fit its parameters. Otherwise answer "
      "yourself.";
  return text;
}

bool is_system(const Json& message) {
  const Json* role = message.find("role");
  return role != nullptr && role->is_string() && role->as_string() == "system";
}

}  // namespace

Json with_tools_described(const Json& messages, const Json& tools) {
  const std::string text = described(tools);
  JsonArray out = messages.as_array();
  Json* content = !out.empty() && is_system(out[0]) ? out[0].as_object().find("content") : nullptr;
  if (content != nullptr && content->is_string()) {
    *content = Json(content->as_string() + "\n\n" + text);
  } else if (content != nullptr && content->is_array()) {
    content->as_array().push_back(Json::object({{"type", "text"}, {"text", "\n\n" + text}}));
  } else {
    out.insert(out.begin(), Json::object({{"role", "system"}, {"content", text}}));
  }
  return Json(std::move(out));
}

}  // namespace tutti
