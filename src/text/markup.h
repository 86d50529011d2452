// How model families mark reasoning and tool calls in their text. Data, not code: two tables, in
// which a model's row is found by the marks that its chat template mentions. Sources: the published
// chat templates of the families; names of grammars as vLLM calls its parsers.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

struct ReasoningMarkup {
  std::string open;
  std::string close;
  /// Also end reasoning, but belong to the answer (a tool call section that starts unannounced).
  std::vector<std::string> implicit_close;
};

/// The known markup that this chat template mentions; nullptr if the model does not mark reasoning.
const ReasoningMarkup* find_reasoning_markup(std::string_view template_source);

/// What stands between the marks of one call.
enum class CallBody {
  kObject,    ///< a JSON object with the members "name" and "arguments" or "parameters"
  kNamed,     ///< [type type_end] name name_end JSON-arguments [arguments_end]
  kElements,  ///< name>, then parameter_open key> value </parameter> for each argument
  kWhole,     ///< no marks: the answer is nothing but objects as in kObject, separated by ';'
};

struct ToolCallMarkup {
  std::string grammar;                    ///< "hermes", "deepseek_v3", …
  std::vector<std::string> template_has;  ///< strings that a chat template of this family holds
  CallBody body = CallBody::kObject;
  std::string section_open;  ///< around all calls of a turn; empty: there is no such mark
  std::string section_close;
  std::string call_open;  ///< kWhole: may stand before the first object
  std::string call_close;
  std::string type_end;
  std::string name_end;
  std::string arguments_end;
  std::string parameter_open;  ///< of kElements, up to the key
  /// Of kElements: the template writes each value on lines of its own.
  bool value_lines = false;
  /// The name is an id such as functions.NAME:0, which later turns repeat.
  bool name_is_id = false;

  /// True for the text of a token that output must keep even if special tokens are not shown.
  bool is_mark(std::string_view text) const;
};

/// The known grammar whose strings this chat template holds; nullptr if there is none.
const ToolCallMarkup* find_tool_call_markup(std::string_view template_source);

/// The grammar of that name; nullptr if there is none.
const ToolCallMarkup* tool_call_markup(std::string_view grammar);

}  // namespace tutti
