#include "engine/prompt.h"

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
