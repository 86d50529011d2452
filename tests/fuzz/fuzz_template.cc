// Any bytes as a chat template over a fixed conversation, or as messages for a fixed template: the
// first byte decides.
#include "text/chat_template.h"

namespace {

constexpr const char* kMessages =
    R"([{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},{"role":"assistant","content":null,)"
    R"("tool_calls":[{"type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]},)"
    R"({"role":"tool","content":"ok"},{"role":"user","content":[{"type":"text","text":"x"}]}])";

constexpr const char* kTemplate =
    "{% for m in messages %}{{ m['role'] }}:{{ m['content'] }}{% if m.tool_calls %}"
    "{{ m.tool_calls | tojson }}{% endif %}{% endfor %}";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool fuzz_template = (data[0] & 1U) == 0;
  const auto messages = tutti::parse_json(fuzz_template ? kMessages : text);
  const auto chat_template = tutti::ChatTemplate::parse(fuzz_template ? text : kTemplate, {});
  if (messages.ok() && chat_template.ok()) {
    tutti::ChatTemplateInput input;
    input.messages = *messages;
    (void)(*chat_template)->render(input);
  }
  return 0;
}
