// Renders one case per line of standard input and prints one JSON object per line: {"text": …} or
// {"error": …}. A case is an object with
//   "model": a model directory, or "source": a chat template and "special_tokens": an object; then
//            "messages", "tools", "kwargs", "add_generation_prompt", "now";
//   or "source" and "context" (an object): the bare language, without preparation of messages.
#include <iostream>
#include <map>

#include "text/chat_template.h"

namespace tutti {
namespace {

using ChatPtr = std::shared_ptr<const ChatTemplate>;

std::string text_field(const Json& line, std::string_view name) {
  const Json* field = line.find(name);
  return field != nullptr && field->is_string() ? field->as_string() : std::string();
}

int64_t now_of(const Json& line) {
  const Json* now = line.find("now");
  return now != nullptr && now->is_int() ? now->as_int() : 0;
}

JsonObject object_field(const Json& line, std::string_view name) {
  const Json* field = line.find(name);
  return field != nullptr && field->is_object() ? field->as_object() : JsonObject();
}

Result<std::string> render_bare(const Json& line) {
  TUTTI_TRY(const jinja::Template parsed, jinja::Template::parse(text_field(line, "source")));
  TUTTI_TRY(std::vector<TemplateSpan> spans,
            parsed.render(object_field(line, "context"), now_of(line)));
  return RenderedPrompt{std::move(spans)}.joined();
}

Result<std::string> render_chat(const Json& line) {
  static std::map<std::string, ChatPtr> loaded;
  ChatPtr chat;
  const std::string model = text_field(line, "model");
  if (model.empty()) {
    TUTTI_TRY(
        chat,
        ChatTemplate::parse(text_field(line, "source"), object_field(line, "special_tokens")));
  } else {
    ChatPtr& cached = loaded[model];
    if (cached == nullptr) {
      TUTTI_TRY(cached, ChatTemplate::load(model));
    }
    chat = cached;
  }
  ChatTemplateInput input{
      .messages = Json(), .kwargs = object_field(line, "kwargs"), .now_unix = now_of(line)};
  if (const Json* messages = line.find("messages")) {
    input.messages = *messages;
  }
  input.tools = line.find("tools");
  if (const Json* flag = line.find("add_generation_prompt")) {
    input.add_generation_prompt = flag->is_bool() && flag->as_bool();
  }
  TUTTI_TRY(const RenderedPrompt prompt, chat->render(input));
  return prompt.joined();
}

Result<std::string> render(const std::string& text) {
  TUTTI_TRY(const Json line, parse_json(text, {.max_depth = jinja::kMaxValueDepth}));
  return line.find("context") != nullptr ? render_bare(line) : render_chat(line);
}

}  // namespace
}  // namespace tutti

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const tutti::Result<std::string> result = tutti::render(line);
    std::string out = result.ok() ? R"({"text": )" : R"({"error": )";
    tutti::append_json_string(out, result.ok() ? *result : result.status().message());
    std::cout << out << "}\n";
  }
  return std::cout.flush() ? 0 : 1;
}
