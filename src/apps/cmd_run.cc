// tutti run: one answer, or a chat in the terminal. Thinking is shown dimmed, apart from the
// answer; calls of tools on lines of their own, and in a chat their results are asked for.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <utility>

#include <unistd.h>

#include "apps/collector.h"
#include "apps/text_model.h"
#include "base/file.h"
#include "base/log.h"

namespace tutti {

namespace {

using Clock = std::chrono::steady_clock;

// Writes deltas to the terminal as they come. Called on the delivery thread, one generation at a
// time.
class Printer {
 public:
  explicit Printer(bool colour) : colour_(colour) {}

  void print(const GenerationDelta& delta) {
    if (!delta.tokens.empty() && first_ == Clock::time_point()) {
      first_ = Clock::now();
    }
    last_ = Clock::now();
    tokens_ += static_cast<int64_t>(delta.tokens.size());
    for (const OutputEvent& event : delta.events) {
      print(event);
    }
    std::fflush(stdout);
  }

  void finish() {
    end_thinking();
    std::fputc('\n', stdout);
    std::fflush(stdout);
  }

  /// Decode speed: the first token's time belongs to the prompt.
  std::string summary() const {
    const double seconds = std::chrono::duration<double>(last_ - first_).count();
    return fmt::format(
        "{} tokens, {:.0f} tok/s",
        tokens_,
        tokens_ > 1 && seconds > 0 ? static_cast<double>(tokens_ - 1) / seconds : 0.0);
  }

 private:
  void print(const OutputEvent& event) {
    switch (event.kind) {
      case OutputEvent::Kind::kReasoning:
        if (!thinking_) {
          std::fputs(colour_ ? "\x1b[2m" : "<think>\n", stdout);
          thinking_ = true;
        }
        write(event.text);
        break;
      case OutputEvent::Kind::kText:
        end_thinking();
        write(event.text);
        line_begun_ = event.text.back() != '\n';
        break;
      case OutputEvent::Kind::kCallBegin:
        end_thinking();
        write((line_begun_ ? "\n[call " : "[call ") + event.name + " ");
        break;
      case OutputEvent::Kind::kCallArguments:
        write(event.text);
        break;
      case OutputEvent::Kind::kCallEnd:
        write("]");
        line_begun_ = true;
        break;
    }
  }

  static void write(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

  void end_thinking() {
    if (thinking_) {
      std::fputs(colour_ ? "\x1b[0m\n\n" : "\n</think>\n\n", stdout);
      thinking_ = false;
    }
  }

  bool colour_;
  bool thinking_ = false;
  bool line_begun_ = false;  // something of the answer stands on the last line
  int64_t tokens_ = 0;
  Clock::time_point first_;
  Clock::time_point last_;
};

Json message(const char* role, const std::string& content) {
  return Json::object({{"role", role}, {"content", content}});
}

// What the chat goes on with after an answer.
Json assistant_message(const CollectedChoice& answer) {
  Json out = message("assistant", answer.content);
  JsonArray calls;
  for (size_t i = 0; i < answer.calls.size(); ++i) {
    const CollectedChoice::Call& call = answer.calls[i];
    calls.push_back(Json::object(
        {{"id", call.id.empty() ? fmt::format("call-{}", i) : call.id},
         {"type", "function"},
         {"function", Json::object({{"name", call.name}, {"arguments", call.arguments}})}}));
  }
  if (!calls.empty()) {
    out.as_object().append("tool_calls", std::move(calls));
  }
  return out;
}

// nullptr if there are none.
Result<std::shared_ptr<const Json>> read_tools(const std::string& path) {
  if (path.empty()) {
    return std::shared_ptr<const Json>();
  }
  TUTTI_TRY(Json tools, parse_json_file(path));
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

// One answer to `messages`.
Result<CollectedChoice> answer(const TextModel& model,
                               const RunOptions& options,
                               const std::shared_ptr<const Json>& tools,
                               const JsonArray& messages) {
  TUTTI_TRY(
      Prompt prompt,
      model.engine->prepare(
          {.messages = Json(messages), .tools = tools, .one_call = false, .template_kwargs = {}}));
  GenerationRequest request;
  request.begin_with(std::move(prompt));
  request.sampling = model.engine->defaults().sampling;
  request.sampling.seed = static_cast<uint64_t>(Clock::now().time_since_epoch().count());
  options.parameters.apply(request);
  request.request_id = "run";

  Printer printer(isatty(STDOUT_FILENO) == 1);
  auto sink = std::make_shared<Collector>(
      [&printer](const GenerationDelta& delta) { printer.print(delta); });
  InterruptGuard::reset();
  TUTTI_TRY(const uint64_t id, model.engine->generate(std::move(request), sink));
  bool cancelled = false;
  const Status status = sink->wait([&] {
    if (!cancelled && InterruptGuard::count() > 0) {
      model.engine->cancel(id);
      cancelled = true;
    }
  });
  printer.finish();
  if (!status.ok()) {
    return status;
  }
  if (!options.model.quiet) {
    std::cerr << fmt::format(
        "[{}{}]\n",
        printer.summary(),
        sink->finish() == FinishReason::kLength ? ", stopped at the length limit" : "");
  }
  return sink->choice();
}

/// The next line; false at the end of the input.
bool ask(const std::string& prompt, std::string& line) {
  std::cerr << prompt << std::flush;
  InterruptGuard::reset();
  if (!std::getline(std::cin, line)) {
    std::cerr << "\n";
    return false;
  }
  return true;
}

/// Asks for what each called tool returned. False at the end of the input.
bool ask_results(const CollectedChoice& answer, JsonArray& messages) {
  const Json called = messages.back();
  for (size_t i = 0; i < answer.calls.size(); ++i) {
    std::string line;
    if (!ask(fmt::format("{} returns> ", answer.calls[i].name), line)) {
      return false;
    }
    Json result = message("tool", line);
    result.as_object().append("tool_call_id", *called.find("tool_calls")->as_array()[i].find("id"));
    messages.push_back(std::move(result));
  }
  return true;
}

Status chat(const TextModel& model,
            const RunOptions& options,
            const std::shared_ptr<const Json>& tools,
            JsonArray messages) {
  std::cerr << "Chat with " << model.engine->info().id
            << ". Ctrl-C stops an answer, Ctrl-D ends the chat.\n";
  std::string line;
  bool asked = false;  // the model is to answer results of tools
  for (;;) {
    const size_t before = messages.size();
    if (!asked) {
      if (!ask("> ", line)) {
        return ok_status();
      }
      if (line.empty()) {
        continue;
      }
      messages.push_back(message("user", line));
    }
    Result<CollectedChoice> said = answer(model, options, tools, messages);
    asked = false;
    if (said.ok()) {
      messages.push_back(assistant_message(*said));
      asked = !said->calls.empty();
      if (asked && !ask_results(*said, messages)) {
        return ok_status();
      }
    } else if (said.status().code() == StatusCode::kCancelled) {
      messages.resize(before);
    } else if (said.status().code() == StatusCode::kContextLength) {
      fail(said.status());
      std::cerr << "The chat is full; end it with Ctrl-D and start another.\n";
      messages.resize(before);
    } else {
      return std::move(said).status();
    }
  }
}

// `tutti run "Sort 9, 4, 7"`: one argument with spaces that names nothing is a prompt for tiny-r1.
RunOptions with_lone_prompt(RunOptions options) {
  std::string& model = options.model.model;
  const bool words = model.find_first_of(" \t\n?") != std::string::npos;
  if (options.prompt.empty() && words && model.find_first_of("/~.") != 0 && !file_exists(model)) {
    options.prompt = std::exchange(model, "");
  }
  return options;
}

Status run(const RunOptions& typed) {
  const RunOptions options = with_lone_prompt(typed);
  set_log_level(options.model.quiet ? LogLevel::kError : LogLevel::kWarn);
  TUTTI_TRY(const std::shared_ptr<const Json> tools, read_tools(options.tools));
  TUTTI_TRY(const TextModel model, load_text_model(options.model, ""));
  if (!options.model.quiet) {
    std::cerr << model.engine->info().id << ": " << model.description << "\n";
  }
  JsonArray messages;
  if (!options.system.empty()) {
    messages.push_back(message("system", options.system));
  }
  const InterruptGuard guard;
  if (options.prompt.empty()) {
    return chat(model, options, tools, std::move(messages));
  }
  messages.push_back(message("user", options.prompt));
  return answer(model, options, tools, messages).status();
}

}  // namespace

int run_command(const RunOptions& options) {
  const Status status = run(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
