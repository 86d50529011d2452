#include "engine/prompt.h"

#include <algorithm>

#include "text/chat_template.h"
#include "text/reasoning.h"
#include "text/tokenizer.h"

namespace tutti {

namespace {

Status unsupported_tools(const char* why) {
  return error(StatusCode::kUnsupported,
               "tools: not supported with this model's chat template, which {}; describe the tools "
               "in the system message instead",
               why)
      .with_param("tools");
}

// Templates have one of these, or none.
constexpr const char* kSwitches[] = {"enable_thinking", "thinking"};

// Of a variable of the template; as OpenAI's field where it is one.
std::string field_of(const std::string& variable) {
  return variable == "reasoning_effort" ? variable : "chat_template_kwargs." + variable;
}

bool switches_reasoning_off(const JsonMember& variable) {
  const Json& value = variable.value;
  if (variable.key == "reasoning_effort") {
    return value.is_string() && value.as_string() == "none";
  }
  return std::any_of(std::begin(kSwitches),
                     std::end(kSwitches),
                     [&](const char* name) { return variable.key == name; }) &&
         value.is_bool() && !value.as_bool();
}

// What would switch it off.
std::string remedy(const ChatTemplate& chat_template) {
  for (const char* name : kSwitches) {
    if (chat_template.reads(name)) {
      return fmt::format("send \"chat_template_kwargs\": {{\"{}\": false}}", name);
    }
  }
  return "leave the field out; max_tokens bounds the answer, reasoning included";
}

// Fields that have no effect. One that is to stop the reasoning and would not is
// refused: the answer would be another than was asked for.
Result<std::vector<std::string>> unread_variables(const ChatTemplate& chat_template,
                                                  const JsonObject& variables) {
  std::vector<std::string> unread;
  for (const JsonMember& variable : variables.members()) {
    if (chat_template.reads(variable.key)) {
      continue;
    }
    if (chat_template.reasoning_markup() != nullptr && switches_reasoning_off(variable)) {
      const std::string field = field_of(variable.key);
      return std::move(error(StatusCode::kUnsupported,
                             "{}: got {}, but this model's chat template does not read it: it "
                             "cannot switch reasoning off; {}",
                             field,
                             to_string(variable.value),
                             remedy(chat_template)))
          .with_param(field);
    }
    unread.push_back(field_of(variable.key));
  }
  return unread;
}

OutputForm make_form(const ChatTemplate& chat_template,
                     const ChatInput& chat,
                     const RenderedPrompt& rendered) {
  OutputForm form{.reasoning = chat_template.reasoning_markup()};
  if (form.reasoning != nullptr && !rendered.spans.empty()) {
    // A mark inside a message is plain text to the model and opens nothing.
    const TemplateSpan& last = rendered.spans.back();
    if (last.origin == TextOrigin::kTemplate) {
      form.reasoning_open = prompt_opens_reasoning(last.text, *form.reasoning);
      form.reasoning_closed = prompt_closes_reasoning(last.text, *form.reasoning);
    }
  }
  if (chat.tools != nullptr) {
    form.calls = chat_template.tool_call_markup();
    form.tools = chat.tools;
    form.one_call = chat.one_call;
  }
  return form;
}

}  // namespace

Result<Prompt> make_chat_prompt(const ChatTemplate& chat_template,
                                const Tokenizer& tokenizer,
                                const ChatInput& chat,
                                int64_t now_unix) {
  if (chat.tools != nullptr && chat_template.tool_call_markup() == nullptr) {
    return unsupported_tools("has no known form of tool calls");
  }
  if (chat.tools != nullptr && !chat_template.shows_tools()) {
    return unsupported_tools("does not show declared tools to the model");
  }
  TUTTI_TRY(std::vector<std::string> unread, unread_variables(chat_template, chat.template_kwargs));
  const ChatTemplateInput input{.messages = chat.messages,
                                .tools = chat.tools.get(),
                                .kwargs = chat.template_kwargs,
                                .add_generation_prompt = true,
                                .now_unix = now_unix};
  TUTTI_TRY(const RenderedPrompt rendered, chat_template.render(input));
  std::vector<Tokenizer::Span> spans;
  spans.reserve(rendered.spans.size());
  for (const TemplateSpan& span : rendered.spans) {
    spans.push_back({.text = span.text, .parse_special = span.origin == TextOrigin::kTemplate});
  }
  Prompt out;
  // The template writes BOS itself.
  TUTTI_TRY(out.tokens, tokenizer.encode_spans(spans, /*add_special_tokens=*/false, /*threads=*/0));
  out.form = make_form(chat_template, chat, rendered);
  out.unread = std::move(unread);
  return out;
}

Result<Prompt> make_completion_prompt(const Tokenizer& tokenizer, std::string_view prompt) {
  Prompt out;
  TUTTI_TRY(
      out.tokens,
      tokenizer.encode(prompt, {.add_special_tokens = true, .parse_special = true, .threads = 0}));
  return out;
}

}  // namespace tutti
