// Tool calls in the markup of a model's family, as a grammar.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "base/json.h"
#include "base/status.h"
#include "grammar/grammar_spec.h"
#include "grammar/syntax.h"
#include "text/markup.h"

namespace tutti::grammar {

struct CallWish {
  const ToolCallMarkup* markup = nullptr;
  /// Those that may be called, in OpenAI's form.
  std::shared_ptr<const Json> tools;
  bool required = false;  ///< the answer is calls, and no text
  bool one_call = false;

  std::string key() const;
};

/// The bytes of a mark: its own, or those that stand for its special token.
using MarkBytes = std::function<std::string(const std::string&)>;

/// The node of the answers that `wish` leaves: calls whose arguments are valid, or, unless they are
/// required, `answer` (nullptr: any text, and calls behind it). Arguments of a tool that is not
/// strict are any object where its schema cannot be enforced. Errors are about "tools[i]…".
Result<NodeId> add_calls(const CallWish& wish,
                         const GrammarSpec* answer,
                         const MarkBytes& mark,
                         Syntax& out);

}  // namespace tutti::grammar
