// Text to token ids, as the routes see it: a chat through the model's template, or a raw text.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/markup.h"

namespace tutti {

struct PreparedChat {
  std::vector<int32_t> ids;
  bool split_reasoning = false;                ///< the model marks its reasoning; report it apart
  bool reasoning_open = false;                 ///< the prompt already ends inside the reasoning
  bool reasoning_closed = false;               ///< the prompt ends behind it: there will be none
  const ToolCallMarkup* tool_calls = nullptr;  ///< how calls of `tools` look; nullptr without tools
};

/// Thread-safe: worker threads call it at the same time.
class PromptBuilder {
 public:
  virtual ~PromptBuilder() = default;

  /// `messages` is a checked array of {"role", "content": text, …}; `tools` is a checked array or
  /// nullptr; `kwargs` are extra template variables. kUnsupported if the model has no chat
  /// template, or tools are given and its template does not show them or calls of an unknown form.
  virtual Result<PreparedChat> chat(const Json& messages,
                                    const Json* tools,
                                    const JsonObject& kwargs) = 0;
  virtual Result<std::vector<int32_t>> completion(const std::string& text) = 0;
};

}  // namespace tutti
