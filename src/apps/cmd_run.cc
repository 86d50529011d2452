// tutti run: one answer, or a chat in the terminal.
#include <iostream>
#include <utility>

#include "apps/answer.h"
#include "apps/chat.h"
#include "apps/model_search.h"
#include "apps/text_model.h"
#include "base/file.h"
#include "base/log.h"

namespace tutti {

namespace {

// nullptr if there are none.
Result<std::shared_ptr<const Json>> read_tools(const std::string& path) {
  if (path.empty()) {
    return std::shared_ptr<const Json>();
  }
  TUTTI_TRY(Json tools, parse_json_input(path));
  if (!tools.is_array()) {
    return invalid("{}: is {}, wanted an array of tools", path, tools.type_name());
  }
  for (const Json& tool : tools.as_array()) {
    const Json* function = tool.find("function");
    const Json* name = function == nullptr ? nullptr : function->find("name");
    if (name == nullptr || !name->is_string()) {
      return invalid(
          "{}: wanted tools such as {{\"type\":\"function\",\"function\":{{\"name\":…}}}}", path);
    }
  }
  return std::make_shared<const Json>(std::move(tools));
}

// `tutti run "Sort 9, 4, 7"`: one argument that can be no model is a prompt for tiny-r1.
RunOptions with_lone_prompt(RunOptions options) {
  std::string& model = options.model.model;
  if (options.prompt.empty() && can_be_no_model(model) && !file_exists(model)) {
    options.prompt = std::exchange(model, "");
  }
  return options;
}

Status run(const RunOptions& typed) {
  const RunOptions options = with_lone_prompt(typed);
  set_log_level(options.model.quiet ? LogLevel::kError : LogLevel::kWarn);
  TUTTI_TRY(const std::shared_ptr<const Json> tools, read_tools(options.tools));
  TUTTI_TRY(const TextModel model, load_text_model(options.model, "", TextNeeds::kChat));
  if (!options.model.quiet) {
    std::cerr << model.engine->info().id << ": " << model.description << "\n";
  }
  JsonArray messages;
  if (!options.system.empty()) {
    messages.push_back(chat_message("system", options.system));
  }
  if (tools != nullptr) {  // whether the model can be shown any is known before anything is asked
    TUTTI_TRY(const Prompt probe,
              model.engine->prepare({.messages = Json(JsonArray{chat_message("user", "")}),
                                     .tools = tools,
                                     .one_call = false,
                                     .template_kwargs = {}}));
    if (probe.tools_described && !options.model.quiet) {
      std::cerr << "this model's chat template shows no tools: they stand in the system message\n";
    }
  }
  const InterruptGuard guard;
  if (options.prompt.empty()) {
    return chat(model, options, tools, std::move(messages));
  }
  messages.push_back(chat_message("user", options.prompt));
  return answer(model, messages, {.run = options, .tools = tools}).status();
}

}  // namespace

int run_command(const RunOptions& options) {
  const Status status = run(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
