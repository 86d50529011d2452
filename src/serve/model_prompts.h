// Prompts of a loaded model through its own chat template and tokenizer.
#pragma once
#include <memory>

#include "engine/language_model.h"
#include "serve/prompt_builder.h"

namespace tutti {

std::shared_ptr<PromptBuilder> make_model_prompts(std::shared_ptr<const LanguageModel> model);

}  // namespace tutti
