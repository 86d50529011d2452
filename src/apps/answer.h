// One answer of `tutti run`, printed while it comes. Thinking is shown dimmed, apart from the
// answer; calls of tools on lines of their own.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "apps/collector.h"
#include "apps/text_model.h"
#include "base/json.h"

namespace tutti {

/// {"role": …, "content": …}
Json chat_message(const char* role, const std::string& content);

struct Answer {
  CollectedChoice said;
  GenerationUsage usage;
};

struct AnswerOptions {
  const RunOptions& run;
  std::shared_ptr<const Json> tools;    ///< nullptr: none
  bool in_chat = false;                 ///< there are commands to advise
  std::function<void()> before_exit{};  ///< called if the process has to end here
};

/// Blocks. Errors: kInvalidArgument for text that is no UTF-8 or that the chat template refuses,
/// kContextLength and kOutOfMemory for prompts that are too long, kCancelled after Ctrl-C, which
/// InterruptGuard counts; other errors are the model's end.
Result<Answer> answer(const TextModel& model,
                      const JsonArray& messages,
                      const AnswerOptions& options);

}  // namespace tutti
