// Fields that say what the answer must be, by all the names that the field has for it.
#pragma once
#include <optional>

#include "base/json.h"
#include "grammar/grammar_spec.h"

namespace tutti {

/// Nothing if none is given. kInvalidArgument if several are, or one is no form.
Result<std::optional<grammar::GrammarSpec>> read_answer_form(const JsonObject& body);

/// OpenAI's response_format, or what stands under `field`.
Result<std::optional<grammar::GrammarSpec>> read_response_format(const Json& format,
                                                                 const std::string& field);

}  // namespace tutti
