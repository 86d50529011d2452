// vLLM's routes to the tokenizer: /tokenize and /detokenize.
#pragma once
#include "serve/dialect.h"

namespace tutti {

const Dialect& vllm_dialect();

}  // namespace tutti
