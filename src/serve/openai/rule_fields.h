// The request fields that forbid or favour tokens: logit_bias, bad_words and allowed_token_ids.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/language_model.h"
#include "serve/http_limits.h"

namespace tutti {

/// `body` has passed check_fields(). Errors name the field.
Status read_rules(const JsonObject& body,
                  const ModelInfo& info,
                  const RequestLimits& limits,
                  GenerationRequest& out);

/// A list of ids in [0, vocab_size); `path` names it in errors.
Result<std::vector<int32_t>> read_token_ids(const JsonArray& items,
                                            const std::string& path,
                                            int64_t vocab_size);

}  // namespace tutti
