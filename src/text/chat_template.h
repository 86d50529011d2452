// Chat prompts: messages, tools and options through the model's chat template.
// Messages are untrusted: wrong types are errors that name the field; their text is marked as
// content, so that an encoder can keep special-token text in it plain (see jinja/spans.h).
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "jinja/template.h"
#include "text/markup.h"

namespace tutti {

struct ChatTemplateInput {
  Json messages;                      ///< array of messages in the OpenAI form
  const Json* tools = nullptr;        ///< array of tools in the OpenAI form, or null
  JsonObject kwargs;                  ///< more variables: enable_thinking, thinking, …
  bool add_generation_prompt = true;  ///< end with the assistant's opening
  int64_t now_unix = 0;               ///< what strftime_now() prints, in UTC
};

struct RenderedPrompt {
  std::vector<TemplateSpan> spans;  ///< neighbours differ in origin

  std::string joined() const;
};

class ChatTemplate {
 public:
  /// From a model directory: chat_template.jinja and additional_chat_templates/*.jinja, else
  /// "chat_template" in tokenizer_config.json (a string, or named templates). Of several, "default"
  /// is used, and "tool_use" when tools are given. Special tokens come from tokenizer_config.json.
  /// Errors: kNotFound if there is no template, else as parse().
  static Result<std::shared_ptr<const ChatTemplate>> load(const std::string& model_dir);

  /// `special_tokens`: bos_token, eos_token, … as strings.
  static Result<std::shared_ptr<const ChatTemplate>> parse(std::string source,
                                                           JsonObject special_tokens);

  /// Errors: kInvalidArgument; param() is the field path if one field is to blame. What the
  /// template refuses by raise_exception() has the template's own message.
  Result<RenderedPrompt> render(const ChatTemplateInput& input) const;

  /// How this model marks its reasoning; nullptr if it does not.
  const ReasoningMarkup* reasoning_markup() const { return reasoning_; }

  /// How this model writes tool calls; nullptr if its template shows no known form of them.
  const ToolCallMarkup* tool_call_markup() const { return tool_calls_; }

  /// True if the template (any, of several) reads the variable.
  bool reads(std::string_view variable) const {
    return main_.program.reads(variable) || (tool_use_ && tool_use_->program.reads(variable));
  }

  /// True if the template reads the variable `tools`.
  bool shows_tools() const { return (tool_use_ ? *tool_use_ : main_).program.reads("tools"); }

 private:
  struct Variant {
    explicit Variant(jinja::Template template_program);

    jinja::Template program;
    bool reads_parts;  ///< goes through lists of content parts itself
  };

  ChatTemplate(jinja::Template main, JsonObject special_tokens)
      : main_(std::move(main)), special_tokens_(std::move(special_tokens)) {}

  Variant main_;
  std::optional<Variant> tool_use_;
  bool sorts_tools_ = false;  ///< the keys of tools are shown in order
  JsonObject special_tokens_;
  const ReasoningMarkup* reasoning_ = nullptr;
  const ToolCallMarkup* tool_calls_ = nullptr;
};

}  // namespace tutti
