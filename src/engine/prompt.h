// From what a client sends to prompt ids.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tutti {

struct ChatPrompt {
  std::vector<int32_t> tokens;
  /// The template wrote the opening mark of the reasoning: GenerationRequest::reasoning_open.
  bool reasoning_open = false;
  bool reasoning_closed = false;  ///< the same of a closing mark
};

/// Special-token text is parsed in what the template wrote and plain text in what the messages
/// brought, so that a message cannot end its turn or open another.
Result<ChatPrompt> make_chat_prompt(const ChatTemplate& chat_template,
                                    const Tokenizer& tokenizer,
                                    const ChatTemplateInput& input);

/// A raw completion prompt: special-token text is parsed, BOS is added as the tokenizer's files
/// say.
Result<std::vector<int32_t>> make_completion_prompt(const Tokenizer& tokenizer,
                                                    std::string_view prompt);

}  // namespace tutti
