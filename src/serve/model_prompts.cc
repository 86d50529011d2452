#include "serve/model_prompts.h"

#include <chrono>

#include "engine/prompt.h"

namespace tutti {

namespace {

class ModelPrompts final : public PromptBuilder {
 public:
  explicit ModelPrompts(std::shared_ptr<const LanguageModel> model) : model_(std::move(model)) {}

  Result<PreparedChat> chat(const Json& messages,
                            const Json* tools,
                            const JsonObject& kwargs) override {
    const ChatTemplate* chat_template = model_->chat_template();
    if (chat_template == nullptr || model_->tokenizer() == nullptr) {
      return error(StatusCode::kUnsupported,
                   "model \"{}\" has no chat template; use /v1/completions",
                   model_->info().id);
    }
    const ToolCallMarkup* calls = tools == nullptr ? nullptr : chat_template->tool_call_markup();
    if (tools != nullptr && (calls == nullptr || !chat_template->shows_tools())) {
      return error(
                 StatusCode::kUnsupported,
                 "tools: not supported with the chat template of model \"{}\", which {}; describe "
                 "the tools in the system message instead",
                 model_->info().id,
                 calls == nullptr ? "has no known form of tool calls"
                                  : "does not show declared tools to the model")
          .with_param("tools");
    }
    const ChatTemplateInput input{.messages = messages,
                                  .tools = tools,
                                  .kwargs = kwargs,
                                  .add_generation_prompt = true,
                                  .now_unix = unix_now()};
    TUTTI_TRY(ChatPrompt prompt, make_chat_prompt(*chat_template, *model_->tokenizer(), input));
    return PreparedChat{.ids = std::move(prompt.tokens),
                        .split_reasoning = chat_template->reasoning_markup() != nullptr,
                        .reasoning_open = prompt.reasoning_open,
                        .reasoning_closed = prompt.reasoning_closed,
                        .tool_calls = calls};
  }

  Result<std::vector<int32_t>> completion(const std::string& text) override {
    if (model_->tokenizer() == nullptr) {
      return error(StatusCode::kUnsupported,
                   "model \"{}\" has no tokenizer; send the prompt as token ids",
                   model_->info().id)
          .with_param("prompt");
    }
    return make_completion_prompt(*model_->tokenizer(), text);
  }

 private:
  static int64_t unix_now() {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }

  std::shared_ptr<const LanguageModel> model_;
};

}  // namespace

std::shared_ptr<PromptBuilder> make_model_prompts(std::shared_ptr<const LanguageModel> model) {
  return std::make_shared<ModelPrompts>(std::move(model));
}

}  // namespace tutti
