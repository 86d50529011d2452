// From what a client sends to prompt ids, and to what must be known to read the output.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/markup.h"

namespace tutti {

class ChatTemplate;
class Tokenizer;

/// How the output that follows a prompt is to be read.
struct OutputForm {
  const ReasoningMarkup* reasoning = nullptr;  ///< nullptr: reasoning is not told apart
  bool reasoning_open = false;                 ///< the prompt ends inside the reasoning
  bool reasoning_closed = false;               ///< it ends behind it: there will be none
  const ToolCallMarkup* calls = nullptr;       ///< nullptr: no tool calls are looked for
  std::shared_ptr<const Json> tools;           ///< the declared tools, for types of arguments
  bool one_call = false;                       ///< what is called after the first is dropped
};

struct Prompt {
  std::vector<int32_t> tokens;
  OutputForm form;
  /// Fields of `template_kwargs` that the template does not read: they had no effect.
  std::vector<std::string> unread;
  /// The template shows no tools: they stand in the system message.
  bool tools_described = false;
};

/// A chat in OpenAI's terms, checked.
struct ChatInput {
  Json messages;                      ///< array of {"role", "content", …}
  std::shared_ptr<const Json> tools;  ///< array; nullptr: there are none to call
  bool one_call = false;              ///< see OutputForm
  JsonObject template_kwargs;         ///< more variables of the template
  /// Reasoning switched on or off by whichever variable the template has for it. Not of models that
  /// do not reason, nor on where it always is.
  std::optional<bool> reasoning;
  const char* reasoning_field = "reasoning";  ///< as the client calls it, for errors
  bool add_generation_prompt = true;          ///< end with the opening of the model's turn
  bool continue_final_message = false;        ///< instead, the output goes on with the last message
};

/// Special-token text is parsed in what the template wrote and plain text in what the messages
/// brought, so that a message cannot end its turn or open another. `now_unix`: what the template
/// takes for now. kUnsupported, about "tools": the template has calls of no known form; about
/// "chat_template_kwargs" or "reasoning_effort": they switch reasoning off, of a model that reasons
/// and whose template does not read them.
Result<Prompt> make_chat_prompt(const ChatTemplate& chat_template,
                                const Tokenizer& tokenizer,
                                const ChatInput& chat,
                                int64_t now_unix);

/// A raw completion prompt: special-token text is parsed, BOS is added as the tokenizer's files
/// say.
Result<Prompt> make_completion_prompt(const Tokenizer& tokenizer, std::string_view prompt);

}  // namespace tutti
