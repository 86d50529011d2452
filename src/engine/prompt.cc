#include "engine/prompt.h"

#include "text/reasoning.h"

namespace tutti {

Result<ChatPrompt> make_chat_prompt(const ChatTemplate& chat_template,
                                    const Tokenizer& tokenizer,
                                    const ChatTemplateInput& input) {
  TUTTI_TRY(const RenderedPrompt rendered, chat_template.render(input));
  std::vector<Tokenizer::Span> spans;
  spans.reserve(rendered.spans.size());
  for (const TemplateSpan& span : rendered.spans) {
    spans.push_back({.text = span.text, .parse_special = span.origin == TextOrigin::kTemplate});
  }
  ChatPrompt out;
  // The template writes BOS itself.
  TUTTI_TRY(out.tokens, tokenizer.encode_spans(spans, /*add_special_tokens=*/false, /*threads=*/0));
  const ReasoningMarkup* markup = chat_template.reasoning_markup();
  if (markup != nullptr && !rendered.spans.empty()) {
    // A mark inside a message is plain text to the model and opens nothing.
    const TemplateSpan& last = rendered.spans.back();
    if (last.origin == TextOrigin::kTemplate) {
      out.reasoning_open = prompt_opens_reasoning(last.text, *markup);
      out.reasoning_closed = prompt_closes_reasoning(last.text, *markup);
    }
  }
  return out;
}

Result<std::vector<int32_t>> make_completion_prompt(const Tokenizer& tokenizer,
                                                    std::string_view prompt) {
  return tokenizer.encode(prompt,
                          {.add_special_tokens = true, .parse_special = true, .threads = 0});
}

}  // namespace tutti
