#include "engine/prompt.h"

#include <algorithm>

#include "engine/tool_prompt.h"
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

// Those of the request, and the one that switches reasoning as it is wanted.
Result<JsonObject> variables_of(const ChatTemplate& chat_template, const ChatInput& chat) {
  JsonObject variables = chat.template_kwargs;
  if (!chat.reasoning) {
    return variables;
  }
  for (const char* name : kSwitches) {
    if (chat_template.reads(name)) {
      if (!variables.contains(name)) {
        variables.append(name, Json(*chat.reasoning));
      }
      return variables;
    }
  }
  if (!*chat.reasoning && chat_template.reasoning_markup() != nullptr) {
    return std::move(error(StatusCode::kUnsupported,
                           "{}: this model always reasons: its chat template has no switch for it; "
                           "leave the field out",
                           chat.reasoning_field))
        .with_param(chat.reasoning_field);
  }
  return variables;
}

// The prompt ends where the text of its last message does, so that the output goes on with it.
Status cut_after_last_message(const Json& messages, RenderedPrompt& rendered) {
  const Json* content = messages.as_array().back().find("content");
  const std::string path = fmt::format("messages[{}].content", messages.as_array().size() - 1);
  std::string text = content != nullptr && content->is_string() ? content->as_string() : "";
  text.erase(text.find_last_not_of(" \t\r\n") + 1);  // templates do so
  if (text.empty()) {
    return std::move(invalid("{}: wanted a text to go on with", path)).with_param(path);
  }
  for (size_t i = rendered.spans.size(); i-- > 0;) {
    TemplateSpan& span = rendered.spans[i];
    const size_t at =
        span.origin == TextOrigin::kContent ? span.text.rfind(text) : std::string::npos;
    if (at != std::string::npos) {
      span.text.resize(at + text.size());
      rendered.spans.resize(i + 1);
      return ok_status();
    }
  }
  return std::move(error(StatusCode::kUnsupported,
                         "{}: this model's chat template does not write the text as it is, so that "
                         "the answer cannot go on with it",
                         path))
      .with_param(path);
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
    form.reasoning_closed = form.reasoning_closed || chat.continue_final_message;
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
  TUTTI_TRY(JsonObject variables, variables_of(chat_template, chat));
  TUTTI_TRY(std::vector<std::string> unread, unread_variables(chat_template, variables));
  const bool opens = chat.add_generation_prompt && !chat.continue_final_message;
  const bool describe = chat.tools != nullptr && !chat_template.shows_tools();
  const Json described = describe ? with_tools_described(chat.messages, *chat.tools) : Json();
  const ChatTemplateInput input{.messages = describe ? described : chat.messages,
                                .tools = chat.tools.get(),
                                .kwargs = std::move(variables),
                                .add_generation_prompt = opens,
                                .now_unix = now_unix};
  TUTTI_TRY(RenderedPrompt rendered, chat_template.render(input));
  if (chat.continue_final_message) {
    TUTTI_RETURN_IF_ERROR(cut_after_last_message(chat.messages, rendered));
  }
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
  out.tools_described = describe;
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
