#include "serve/tool_choice.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/field_error.h"

namespace tutti {

namespace {

const std::string& name_of(const Json& tool) {
  return tool.find("function")->find("name")->as_string();
}

// {"type": "function", "function": {"name"}}, or with the name beside the type.
Result<std::string> chosen_name(const Json& choice, const std::string& field) {
  const Json* function = choice.find("function");
  const Json* name = (function != nullptr ? *function : choice).find("name");
  if (name == nullptr || !name->is_string()) {
    return field_error(field, "wanted {\"type\": \"function\", \"function\": {\"name\": …}}");
  }
  return name->as_string();
}

Result<std::shared_ptr<const Json>> tools_named(const Json& tools,
                                                const std::vector<std::string>& names,
                                                const std::string& field) {
  JsonArray some;
  for (const std::string& name : names) {
    const auto found = std::ranges::find_if(
        tools.as_array(), [&](const Json& tool) { return name_of(tool) == name; });
    if (found == tools.as_array().end()) {
      std::vector<std::string> known;
      for (const Json& tool : tools.as_array()) {
        known.push_back(name_of(tool));
      }
      return field_error(field,
                         fmt::format("got \"{}\", which is none of the tools ({})",
                                     name.substr(0, 80),
                                     fmt::format("{}", fmt::join(known, ", ")).substr(0, 200)));
    }
    some.push_back(*found);
  }
  return std::make_shared<const Json>(std::move(some));
}

Status choose_word(const std::string& word, const std::string& field, CanonicalRequest& out) {
  if (word != "none" && word != "auto" && word != "required" && word != "any") {
    return field_error(field,
                       fmt::format("got \"{}\", wanted none, auto, required, or {{\"type\": "
                                   "\"function\", \"function\": {{\"name\": …}}}}",
                                   word.substr(0, 80)));
  }
  out.wish.calls_required = word == "required" || word == "any";
  if (word == "none") {
    out.chat.tools = nullptr;
    out.wish.strict_calls = false;
  }
  return ok_status();
}

Status choose_allowed(const Json& choice, const std::string& field, CanonicalRequest& out) {
  const Json* allowed = choice.find("allowed_tools");
  const Json& inner = allowed != nullptr && allowed->is_object() ? *allowed : choice;
  const Json* mode = inner.find("mode");
  const Json* list = inner.find("tools");
  if (mode == nullptr || !mode->is_string() || list == nullptr || !list->is_array()) {
    return field_error(
        field, "wanted {\"type\": \"allowed_tools\", \"allowed_tools\": {\"mode\", \"tools\"}}");
  }
  std::vector<std::string> names;
  for (const Json& one : list->as_array()) {
    TUTTI_TRY(std::string name, chosen_name(one, field));
    names.push_back(std::move(name));
  }
  TUTTI_TRY(out.wish.callable, tools_named(*out.chat.tools, names, field));
  // Which are not allowed must not be called: that binds the output, whatever the mode.
  out.wish.strict_calls = true;
  return choose_word(mode->as_string(), field, out);
}

}  // namespace

bool any_strict(const Json& tools) {
  return std::ranges::any_of(tools.as_array(), [](const Json& tool) {
    const Json* strict = tool.find("function")->find("strict");
    return strict != nullptr && strict->is_bool() && strict->as_bool();
  });
}

Status choose_tools(const Json& choice, const std::string& field, CanonicalRequest& out) {
  const bool word = choice.is_string();
  if (out.chat.tools == nullptr &&
      !(word && (choice.as_string() == "none" || choice.as_string() == "auto"))) {
    return field_error(field,
                       fmt::format("got {}, but there are no tools; send tools too",
                                   to_string(choice).substr(0, 80)));
  }
  if (word) {
    return choose_word(choice.as_string(), field, out);
  }
  const Json* type = choice.find("type");
  const std::string kind = type != nullptr && type->is_string() ? type->as_string() : "";
  if (kind == "function") {
    TUTTI_TRY(const std::string name, chosen_name(choice, field));
    TUTTI_TRY(out.wish.callable, tools_named(*out.chat.tools, {name}, field));
    out.wish.calls_required = true;
    out.chat.one_call = true;
    return ok_status();
  }
  if (kind == "allowed_tools") {
    return choose_allowed(choice, field, out);
  }
  return field_error(field,
                     "wanted none, auto, required, {\"type\": \"function\", …} or {\"type\": "
                     "\"allowed_tools\", …}");
}

}  // namespace tutti
