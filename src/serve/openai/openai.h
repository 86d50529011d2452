// OpenAI's chat completions and completions, with vLLM's additions.
#pragma once
#include "serve/dialect.h"

namespace tutti {

const Dialect& openai_dialect();

/// Its routes, by their numbers.
enum class OpenAiRoute { kChat = 0, kCompletions = 1 };

}  // namespace tutti
