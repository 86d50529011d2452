// From what a request forbids or favours, in words, to token ids.
#pragma once
#include <cstdint>
#include <span>

#include "base/status.h"
#include "engine/language_model.h"
#include "engine/token_text.h"
#include "sched/logit_rules.h"

namespace tutti {

/// nullptr if the request has no rules. It has passed check_request; `text` is only used for bad
/// words. min_tokens holds back EOS also where ignore_eos makes it an ordinary token, as in vLLM.
///
/// A bad word is two sequences of ids: of the word at the beginning of a text and after a space.
/// (vLLM leaves out the second where it has another number of tokens; then the word can appear.)
Result<LogitRulesPtr> make_rules(const GenerationRequest& request,
                                 std::span<const int32_t> eos_ids,
                                 const TokenText* text);

}  // namespace tutti
