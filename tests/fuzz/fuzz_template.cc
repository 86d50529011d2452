// The first byte chooses what the rest is: a chat template over a fixed conversation, a request
// (an array of messages, or an object with "messages", "tools" and "kwargs") for a fixed template,
// or both, separated by a zero byte. Parsing and rendering end within their budgets, and the tool
// call parsers take the output, whole or in pieces, with the same result.
#include <cstdlib>
#include <ctime>

#include "base/utf8.h"
#include "text/chat_template.h"
#include "text/tool_calls.h"

namespace {

constexpr const char* kRequest =
    R"([{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},{"role":"assistant","content":null,)"
    R"("tool_calls":[{"type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]},)"
    R"({"role":"tool","content":"ok"},{"role":"user","content":[{"type":"text","text":"x"}]}])";

// Reads everything that messages and tools can hold.
constexpr const char* kTemplate =
    "{% if tools %}{% for t in tools %}{{ t.function.name ~ (t | tojson(indent=2)) }}{% endfor %}"
    "{% endif %}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ m.reasoning_content "
    "}}"
    "{% for c in m.tool_calls or [] %}<tool_call>{\"name\": \"{{ c.function.name }}\", "
    "\"arguments\": {{ c.function.arguments if c.function.arguments is string else "
    "c.function.arguments | tojson }}}</tool_call>{% for k, v in c.function.arguments.items() %}"
    "{{ k }}={{ v }}{% endfor %}{% endfor %}{% endfor %}{{ x | default('') }}";

// What a request may cost: 100 ms in an ordinary build, which sanitizers slow down fifty times.
// Time of the processor, as several fuzzers may share one.
constexpr double kMaxSeconds = 5.0;

void check_calls(const std::string& text, const tutti::Json* tools) {
  for (const char* grammar : {"hermes", "deepseek_v3", "kimi_k2", "minimax_m2", "llama3_json"}) {
    const tutti::ToolCallMarkup& markup = *tutti::tool_call_markup(grammar);
    tutti::ToolCallParser whole(markup, tools);
    tutti::ToolCallParser pieces(markup, tools);
    tutti::ToolCallPiece a = whole.push(text);
    const tutti::ToolCallPiece rest = whole.finish();
    a.content += rest.content;
    a.calls.insert(a.calls.end(), rest.calls.begin(), rest.calls.end());
    tutti::ToolCallPiece b;
    const auto add = [&](const tutti::ToolCallPiece& piece) {
      b.content += piece.content;
      b.calls.insert(b.calls.end(), piece.calls.begin(), piece.calls.end());
    };
    for (size_t i = 0; i < text.size(); i += 3) {
      add(pieces.push(std::string_view(text).substr(i, 3)));
    }
    add(pieces.finish());
    if (a.content != b.content || a.calls != b.calls) {
      std::abort();
    }
  }
}

void render(const std::string& source, const std::string& request_text) {
  const auto request = tutti::parse_json(request_text, {.max_depth = 100});
  const auto chat_template = tutti::ChatTemplate::parse(source, {});
  if (!request.ok() || !chat_template.ok()) {
    return;
  }
  const auto member = [&](const char* name) { return request->find(name); };
  tutti::ChatTemplateInput input;
  input.messages = member("messages") != nullptr ? *member("messages") : *request;
  input.tools = member("tools");
  if (const tutti::Json* kwargs = member("kwargs"); kwargs != nullptr && kwargs->is_object()) {
    input.kwargs = kwargs->as_object();
  }
  const auto prompt = (*chat_template)->render(input);
  if (!prompt.ok()) {
    return;
  }
  const std::string text = prompt->joined();
  if (!tutti::is_valid_utf8(text)) {
    std::abort();
  }
  if (text.size() < 20'000) {
    check_calls(text, input.tools);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::clock_t begin = std::clock();
  const size_t zero = text.find('\0');
  switch (data[0] % 3) {
    case 0:
      render(text, kRequest);
      break;
    case 1:
      render(kTemplate, text);
      break;
    default:
      if (zero != std::string::npos) {
        render(text.substr(0, zero), text.substr(zero + 1));
      }
  }
  const auto ticks = static_cast<double>(std::clock() - begin);
  if (ticks / CLOCKS_PER_SEC > kMaxSeconds) {
    std::abort();
  }
  return 0;
}
