// What requests of several dialects have in common, each in OpenAI's chat form, which is what chat
// templates know.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "serve/dialect.h"

namespace tutti {

/// A string or a list of strings; `path` names it in errors.
Status read_stops(const Json& stop,
                  const std::string& path,
                  const RequestLimits& limits,
                  std::vector<std::string>& out);

/// Status kUnsupported "path: what not supported yet".
Status unsupported_at(const std::string& path, const std::string& what);

/// {"type": "function", "function": {"name", "description", "parameters"}} from a dialect's own
/// object, whose schema has the name `schema`. The name is checked, and that the schema is an
/// object.
Result<Json> function_tool(const Json& tool, const std::string& path, const char* schema);

/// {"id", "type": "function", "function": {"name", "arguments"}}
Json tool_call(Json id, Json name, Json arguments);

/// Takes the declared tools, in OpenAI's form. Their number is checked.
Status take_tools(JsonArray tools, const RequestLimits& limits, CanonicalRequest& out);

/// `choice` in OpenAI's form: "none", "auto", "required" or one function; `path` as the client
/// calls it. After take_tools().
Status take_tool_choice(const Json& choice, const std::string& path, CanonicalRequest& out);

/// `format` in OpenAI's form of chats: {"type": "text"}, {"type": "json_object"} or {"type":
/// "json_schema", "json_schema": {…}}; `path` as the client calls it.
Status take_response_format(const Json& format, const std::string& path, CanonicalRequest& out);

/// The text of a string or of a list of parts, of the types in `text_types`; everything else is
/// refused by name.
Result<std::string> text_of_parts(const Json& content,
                                  const std::string& path,
                                  std::initializer_list<std::string_view> text_types);

/// A member of an object that must be a string.
Result<std::string> string_member(const Json& object, const char* name, const std::string& path);

/// {"input_tokens": …} of the prompt that `request` makes.
Result<int64_t> count_prompt_tokens(const CanonicalRequest& request, const LanguageModel& model);

}  // namespace tutti
