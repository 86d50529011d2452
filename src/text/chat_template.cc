#include "text/chat_template.h"

#include <algorithm>

#include "base/file.h"
#include "jinja/json_value.h"
#include "text/chat_messages.h"

namespace tutti {

namespace {

using jinja::Globals;
using jinja::Str;
using jinja::Value;

// A string, or the content of an added-token object.
const std::string* token_text(const Json& json) {
  const Json* text = json.is_object() ? json.find("content") : &json;
  return text != nullptr && text->is_string() ? &text->as_string() : nullptr;
}

JsonObject special_tokens_of(const Json& tokenizer_config) {
  JsonObject tokens;
  for (const char* name : {"bos_token",
                           "eos_token",
                           "pad_token",
                           "unk_token",
                           "sep_token",
                           "cls_token",
                           "mask_token"}) {
    const Json* value = tokenizer_config.find(name);
    if (const std::string* text = value != nullptr ? token_text(*value) : nullptr) {
      tokens.set(name, *text);
    }
  }
  return tokens;
}

struct Sources {
  std::string main;
  std::string main_path;
  std::optional<std::string> tool_use;
};

// The named templates of a list: [{"name": "default", "template": "…"}, …]
Result<Sources> named_sources(const JsonArray& list, const std::string& path) {
  Sources sources;
  bool found = false;
  for (const Json& entry : list) {
    const Json* name = entry.find("name");
    const Json* source = entry.find("template");
    if (name == nullptr || source == nullptr || !name->is_string() || !source->is_string()) {
      return error(StatusCode::kCorrupt,
                   "{}: chat_template: each entry needs the strings \"name\" and \"template\"",
                   path);
    }
    if (name->as_string() == "default") {
      sources.main = source->as_string();
      found = true;
    } else if (name->as_string() == "tool_use") {
      sources.tool_use = source->as_string();
    }
  }
  if (!found && sources.tool_use) {
    sources.main = *sources.tool_use;
  } else if (!found) {
    return error(StatusCode::kNotFound, "{}: chat_template: no entry is named \"default\"", path);
  }
  return sources;
}

Result<Sources> find_sources(const std::string& model_dir, const Json& config) {
  const std::string file = join_path(model_dir, "chat_template.jinja");
  const std::string config_path = join_path(model_dir, "tokenizer_config.json");
  Sources sources;
  if (file_exists(file)) {
    constexpr int64_t kMaxBytes = jinja::Limits{}.max_source_bytes;
    TUTTI_TRY(sources.main, read_file(file, kMaxBytes));
    sources.main_path = file;
    // The only further template that is ever chosen.
    const std::string tool_use =
        join_path(join_path(model_dir, "additional_chat_templates"), "tool_use.jinja");
    if (file_exists(tool_use)) {
      TUTTI_TRY(sources.tool_use, read_file(tool_use, kMaxBytes));
    }
    return sources;
  }
  const Json* field = config.find("chat_template");
  if (field == nullptr || field->is_null()) {
    return error(StatusCode::kNotFound,
                 "{}: the model has no chat template (no chat_template.jinja, no \"chat_template\" "
                 "in tokenizer_config.json). It is a base model, or files are missing: use "
                 "completions instead of chat, or put a chat_template.jinja into this directory",
                 model_dir);
  }
  if (field->is_string()) {
    sources.main = field->as_string();
  } else if (field->is_array()) {
    TUTTI_TRY(sources, named_sources(field->as_array(), config_path));
  } else {
    return error(StatusCode::kCorrupt,
                 "{}: chat_template must be a string or an array, not {}",
                 config_path,
                 field->type_name());
  }
  sources.main_path = config_path;
  return sources;
}

// What Kimi's tokenizer does before its template sees the tools.
bool sorts_tools(const Json& tokenizer_config) {
  const Json* name = tokenizer_config.find("tokenizer_class");
  return name != nullptr && name->is_string() && name->as_string() == "TikTokenTokenizer";
}

Json with_sorted_keys(const Json& json) {
  if (json.is_array()) {
    JsonArray items;
    for (const Json& item : json.as_array()) {
      items.push_back(with_sorted_keys(item));
    }
    return Json(std::move(items));
  }
  if (!json.is_object()) {
    return json;
  }
  std::vector<const JsonMember*> members;
  for (const JsonMember& member : json.as_object().members()) {
    members.push_back(&member);
  }
  std::sort(members.begin(), members.end(), [](const JsonMember* a, const JsonMember* b) {
    return a->key < b->key;
  });
  JsonObject sorted;
  for (const JsonMember* member : members) {
    sorted.append(member->key, with_sorted_keys(member->value));
  }
  return Json(std::move(sorted));
}

Result<Value> tools_value(const Json* tools, jinja::Budget& budget) {
  if (tools == nullptr || tools->is_null() || (tools->is_array() && tools->as_array().empty())) {
    return Value(jinja::None{});
  }
  if (!tools->is_array()) {
    return std::move(invalid("tools: must be an array, not {}", tools->type_name()))
        .with_param("tools");
  }
  for (size_t i = 0; i < tools->as_array().size(); ++i) {
    if (!tools->as_array()[i].is_object()) {
      const std::string path = fmt::format("tools[{}]", i);
      return std::move(
                 invalid("{}: must be an object, not {}", path, tools->as_array()[i].type_name()))
          .with_param(path);
    }
  }
  return jinja::borrow_json(*tools, TextOrigin::kContent, budget);
}

Status check_kwargs(const JsonObject& kwargs) {
  for (const char* name : {"messages", "tools", "add_generation_prompt"}) {
    if (kwargs.contains(name)) {
      const std::string path = fmt::format("chat_template_kwargs.{}", name);
      return std::move(invalid("{}: this variable is set by the request itself", path))
          .with_param(path);
    }
  }
  return ok_status();
}

}  // namespace

std::string RenderedPrompt::joined() const {
  std::string text;
  for (const TemplateSpan& span : spans) {
    text += span.text;
  }
  return text;
}

ChatTemplate::Variant::Variant(jinja::Template template_program)
    : program(std::move(template_program)), reads_parts(program.loop_reads("content", "text")) {}

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::parse(std::string source,
                                                                JsonObject special_tokens) {
  TUTTI_TRY(jinja::Template parsed, jinja::Template::parse(source));
  std::shared_ptr<ChatTemplate> chat(
      new ChatTemplate(std::move(parsed), std::move(special_tokens)));
  chat->reasoning_ = find_reasoning_markup(source);
  chat->tool_calls_ = find_tool_call_markup(source);
  return std::shared_ptr<const ChatTemplate>(std::move(chat));
}

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::load(const std::string& model_dir) {
  const std::string config_path = join_path(model_dir, "tokenizer_config.json");
  Json config;
  if (file_exists(config_path)) {
    TUTTI_TRY(config, parse_json_file(config_path));
  }
  TUTTI_TRY(const Sources sources, find_sources(model_dir, config));
  Result<jinja::Template> main = jinja::Template::parse(sources.main);
  if (!main.ok()) {
    return std::move(main).status().with_context(sources.main_path);
  }
  std::shared_ptr<ChatTemplate> chat(new ChatTemplate(std::move(*main), special_tokens_of(config)));
  chat->reasoning_ = find_reasoning_markup(sources.main);
  chat->tool_calls_ = find_tool_call_markup(sources.tool_use.value_or(sources.main));
  chat->sorts_tools_ = sorts_tools(config);
  if (sources.tool_use) {
    Result<jinja::Template> tool_use = jinja::Template::parse(*sources.tool_use);
    if (!tool_use.ok()) {
      return std::move(tool_use).status().with_context(sources.main_path + ": tool_use");
    }
    chat->tool_use_.emplace(std::move(*tool_use));
  }
  return std::shared_ptr<const ChatTemplate>(std::move(chat));
}

Result<RenderedPrompt> ChatTemplate::render(const ChatTemplateInput& input) const {
  TUTTI_RETURN_IF_ERROR(check_kwargs(input.kwargs));
  std::optional<ChatMessages> messages;  // borrowed from by the rendering
  std::optional<Json> sorted;            // so is this
  bool has_tools =
      input.tools != nullptr && input.tools->is_array() && !input.tools->as_array().empty();
  const Variant& chosen = has_tools && tool_use_ ? *tool_use_ : main_;
  const auto parts = chosen.reads_parts ? ChatMessages::Parts::kKeep : ChatMessages::Parts::kJoin;
  Result<std::vector<TemplateSpan>> spans =
      chosen.program.render_with(input.now_unix, [&](Globals& globals) -> Status {
        jinja::grant_steps_for(input.messages, globals.budget());
        if (input.tools != nullptr) {
          jinja::grant_steps_for(*input.tools, globals.budget());
        }
        globals.set("documents", jinja::None{});
        for (const JsonMember& token : special_tokens_.members()) {
          globals.set(token.key,
                      jinja::borrow_json(token.value, TextOrigin::kTemplate, globals.budget()));
        }
        for (const JsonMember& kwarg : input.kwargs.members()) {
          jinja::grant_steps_for(kwarg.value, globals.budget());
          globals.set(kwarg.key,
                      jinja::borrow_json(kwarg.value, TextOrigin::kContent, globals.budget()));
        }
        TUTTI_TRY(Value message_list,
                  messages.emplace(globals.budget(), parts).prepare(input.messages));
        const Json* shown = input.tools;
        if (sorts_tools_ && shown != nullptr) {
          shown = &sorted.emplace(with_sorted_keys(*shown));
        }
        TUTTI_TRY(Value tools, tools_value(shown, globals.budget()));
        globals.set("messages", std::move(message_list));
        globals.set("tools", std::move(tools));
        globals.set("add_generation_prompt", input.add_generation_prompt);
        return ok_status();
      });
  if (!spans.ok()) {
    return std::move(spans).status();
  }
  return RenderedPrompt{std::move(*spans)};
}

}  // namespace tutti
