// The chat of `tutti run`: lines in, answers out, and commands that begin with a slash.
#pragma once
#include <memory>

#include "apps/text_model.h"
#include "base/json.h"

namespace tutti {

/// Returns at the end of the input or at /bye. `messages`: what every chat begins with, a system
/// message or nothing. Where nobody types, a line that cannot be answered is an error and of the
/// commands only /bye and /clear exist: a script's lines are prompts.
Status chat(const TextModel& model,
            const RunOptions& options,
            const std::shared_ptr<const Json>& tools,
            JsonArray messages);

}  // namespace tutti
