// tutti run: one answer, or a chat in the terminal. Thinking is shown dimmed, apart from the
// answer; calls of tools on lines of their own, and in a chat their results are asked for.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <utility>

#include <poll.h>
#include <unistd.h>

#include "apps/collector.h"
#include "apps/text_model.h"
#include "base/file.h"
#include "base/log.h"
#include "base/utf8.h"

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
  HangWatch hang;
  const Status status = sink->wait([&] {
    if (!cancelled && InterruptGuard::count() > 0) {
      model.engine->cancel(id);
      cancelled = true;
    }
    hang.look(*model.engine);
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

bool at_terminal() {
  return isatty(STDIN_FILENO) == 1;
}

/// False: an interrupt came before a line. A blocking read would miss one that comes just before
/// it.
bool wait_for_line() {
  constexpr int kLookMilliseconds = 100;
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  while (InterruptGuard::count() == 0) {
    if (poll(&input, 1, kLookMilliseconds) > 0) {
      return true;
    }
  }
  return false;
}

/// The next line; false at the end of the input, or at the second Ctrl-C in a row.
bool ask(const std::string& prompt, std::string& line) {
  for (int interrupts = 0;; ++interrupts) {
    InterruptGuard::reset();
    std::cerr << prompt << std::flush;
    // A terminal gives whole lines, so that nothing of the next one has been read.
    if ((!at_terminal() || wait_for_line()) && std::getline(std::cin, line)) {
      return true;
    }
    std::cerr << "\n";
    if (InterruptGuard::count() == 0 || !at_terminal() || interrupts > 0) {
      return false;
    }
    std::cerr << "Ctrl-D or /bye ends the chat; so does Ctrl-C once more.\n";
    std::clearerr(stdin);  // the interrupted read
    std::cin.clear();
  }
}

/// The engine would name a part of the template.
Status check_prompt(const std::string& text) {
  return is_valid_utf8(text)
             ? ok_status()
             : invalid("the prompt is no UTF-8 text; is the terminal, or the file, in UTF-8?");
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

/// As answer(), for a line that may hold any bytes.
Result<CollectedChoice> checked_answer(const TextModel& model,
                                       const RunOptions& options,
                                       const std::shared_ptr<const Json>& tools,
                                       const JsonArray& messages,
                                       const std::string& line) {
  TUTTI_RETURN_IF_ERROR(check_prompt(line));
  return answer(model, options, tools, messages);
}

Status chat(const TextModel& model,
            const RunOptions& options,
            const std::shared_ptr<const Json>& tools,
            JsonArray messages) {
  if (!options.model.quiet) {
    std::cerr << "Chat with " << model.engine->info().id
              << ". Ctrl-C stops an answer, /clear forgets, Ctrl-D or /bye ends the chat.\n";
  }
  const std::string prompt = at_terminal() ? "> " : "";
  const JsonArray begin = messages;
  std::string line;
  bool asked = false;  // the model is to answer results of tools
  for (;;) {
    const size_t before = messages.size();
    if (!asked) {
      if (!ask(prompt, line) || line == "/bye") {
        return ok_status();
      }
      if (line == "/clear") {
        messages = begin;
        continue;
      }
      if (line.empty()) {
        continue;
      }
      messages.push_back(message("user", line));
    }
    Result<CollectedChoice> said = checked_answer(model, options, tools, messages, line);
    asked = false;
    if (said.ok()) {
      messages.push_back(assistant_message(*said));
      asked = !said->calls.empty();
      if (asked && !ask_results(*said, messages)) {
        return ok_status();
      }
    } else if (said.status().code() == StatusCode::kCancelled) {
      messages.resize(before);
    } else if (at_terminal() && said.status().code() == StatusCode::kContextLength) {
      fail(said.status());
      if (before > begin.size()) {
        std::cerr << "The chat so far counts too: /clear forgets it.\n";
      }
      messages.resize(before);
    } else if (at_terminal() && said.status().code() == StatusCode::kInvalidArgument) {
      fail(said.status());
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
  if (tools != nullptr) {  // whether the model can be shown any is known before anything is asked
    TUTTI_RETURN_IF_ERROR(model.engine
                              ->prepare({.messages = Json(JsonArray{message("user", "")}),
                                         .tools = tools,
                                         .one_call = false,
                                         .template_kwargs = {}})
                              .status());
  }
  const InterruptGuard guard;
  if (options.prompt.empty()) {
    return chat(model, options, tools, std::move(messages));
  }
  TUTTI_RETURN_IF_ERROR(check_prompt(options.prompt));
  messages.push_back(message("user", options.prompt));
  return answer(model, options, tools, messages).status();
}

}  // namespace

int run_command(const RunOptions& options) {
  const Status status = run(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
