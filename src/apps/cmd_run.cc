// tutti run: one answer, or a chat in the terminal. Thinking is shown dimmed, apart from the
// answer.
#include <chrono>
#include <cstdio>
#include <iostream>

#include <unistd.h>

#include "apps/collector.h"
#include "apps/text_model.h"
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
    if (!delta.reasoning.empty()) {
      if (!thinking_) {
        std::fputs(colour_ ? "\x1b[2m" : "<think>\n", stdout);
        thinking_ = true;
      }
      std::fwrite(delta.reasoning.data(), 1, delta.reasoning.size(), stdout);
    }
    if (!delta.content.empty()) {
      end_thinking();
      std::fwrite(delta.content.data(), 1, delta.content.size(), stdout);
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
  void end_thinking() {
    if (thinking_) {
      std::fputs(colour_ ? "\x1b[0m\n\n" : "\n</think>\n\n", stdout);
      thinking_ = false;
    }
  }

  bool colour_;
  bool thinking_ = false;
  int64_t tokens_ = 0;
  Clock::time_point first_;
  Clock::time_point last_;
};

Json message(const char* role, const std::string& content) {
  return Json::object({{"role", role}, {"content", content}});
}

// One answer to `messages`; returns its text without the thinking.
Result<std::string> answer(const TextModel& model,
                           const RunOptions& options,
                           const JsonArray& messages) {
  TUTTI_TRY(PreparedChat chat, model.prompts->chat(Json(messages), nullptr, {}));
  GenerationRequest request;
  request.prompt = std::move(chat.ids);
  request.sampling = model.engine->defaults().sampling;
  request.sampling.seed = static_cast<uint64_t>(Clock::now().time_since_epoch().count());
  options.parameters.apply(request);
  request.split_reasoning = chat.split_reasoning;
  request.reasoning_open = chat.reasoning_open;
  request.reasoning_closed = chat.reasoning_closed;
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
  return sink->content();
}

Status chat(const TextModel& model, const RunOptions& options, JsonArray messages) {
  std::cerr << "Chat with " << model.engine->info().id
            << ". Ctrl-C stops an answer, Ctrl-D ends the chat.\n";
  std::string line;
  for (;;) {
    std::cerr << "> " << std::flush;
    InterruptGuard::reset();
    if (!std::getline(std::cin, line)) {
      std::cerr << "\n";
      return ok_status();
    }
    if (line.empty()) {
      continue;
    }
    messages.push_back(message("user", line));
    Result<std::string> text = answer(model, options, messages);
    if (text.ok()) {
      messages.push_back(message("assistant", *text));
    } else if (text.status().code() == StatusCode::kCancelled) {
      messages.pop_back();
    } else if (text.status().code() == StatusCode::kContextLength) {
      fail(text.status());
      std::cerr << "The chat is full; end it with Ctrl-D and start another.\n";
      messages.pop_back();
    } else {
      return std::move(text).status();
    }
  }
}

Status run(const RunOptions& options) {
  set_log_level(options.model.quiet ? LogLevel::kError : LogLevel::kWarn);
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
    return chat(model, options, std::move(messages));
  }
  messages.push_back(message("user", options.prompt));
  Result<std::string> text = answer(model, options, messages);
  return std::move(text).status();
}

}  // namespace

int run_command(const RunOptions& options) {
  const Status status = run(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
