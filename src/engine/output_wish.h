// What a request wants of its output beyond a prompt: a form of the answer, calls of tools.
#pragma once
#include <memory>
#include <optional>

#include "grammar/grammar_spec.h"

namespace tutti {

struct OutputWish {
  std::optional<grammar::GrammarSpec> answer;
  bool calls_required = false;  ///< the answer is calls
  std::shared_ptr<const Json>
      callable;               ///< the tools that may be called; nullptr: all of the prompt's
  bool strict_calls = false;  ///< some tools promise valid arguments

  bool binds() const { return answer.has_value() || calls_required || strict_calls; }
};

}  // namespace tutti
