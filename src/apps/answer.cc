#include "apps/answer.h"

#include <chrono>
#include <cstdio>
#include <iostream>
#include <utility>

#include <unistd.h>

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

// The engine would name a part of the template.
Status check_text(const JsonArray& messages) {
  for (const Json& message : messages) {
    const Json* content = message.find("content");
    if (content != nullptr && content->is_string() && !is_valid_utf8(content->as_string())) {
      return invalid("the prompt is no UTF-8 text; is the terminal, or the file, in UTF-8?");
    }
  }
  return ok_status();
}

// Why an answer was cut off: ", stopped at the length limit: …".
std::string why_cut(const GenerationUsage& usage,
                    std::optional<int64_t> most_tokens,
                    bool in_chat) {
  const std::string cut = ", stopped at the length limit: ";
  if (most_tokens.has_value() && usage.completion_tokens >= *most_tokens) {
    return cut + fmt::format("--max-tokens {}", *most_tokens);
  }
  return cut + fmt::format("{} tokens of the {} and {} of the answer fill the context of {}{}",
                           usage.prompt_tokens,
                           in_chat ? "chat" : "prompt",
                           usage.completion_tokens,
                           usage.prompt_tokens + usage.completion_tokens,
                           in_chat ? "; /clear forgets the chat" : "");
}

}  // namespace

Json chat_message(const char* role, const std::string& content) {
  return Json::object({{"role", role}, {"content", content}});
}

Result<Answer> answer(const TextModel& model,
                      const JsonArray& messages,
                      const AnswerOptions& options) {
  TUTTI_RETURN_IF_ERROR(check_text(messages));
  TUTTI_TRY(Prompt prompt,
            model.engine->prepare({.messages = Json(messages),
                                   .tools = options.tools,
                                   .one_call = false,
                                   .template_kwargs = {}}));
  GenerationRequest request;
  request.begin_with(std::move(prompt));
  request.sampling = model.engine->defaults().sampling;
  request.sampling.seed = static_cast<uint64_t>(Clock::now().time_since_epoch().count());
  options.run.parameters.apply(request);
  request.request_id = "run";
  const std::optional<int64_t> most_tokens = request.max_tokens;

  Printer printer(isatty(STDOUT_FILENO) == 1 && read_environment().colour);
  auto sink = std::make_shared<Collector>(
      [&printer](const GenerationDelta& delta) { printer.print(delta); });
  TUTTI_TRY(const uint64_t id, model.engine->generate(std::move(request), sink));
  bool cancelled = false;
  HangWatch hang;
  const Status status = sink->wait([&] {
    if (!cancelled && InterruptGuard::count() > 0) {
      model.engine->cancel(id);
      cancelled = true;
    }
    hang.look(*model.engine, options.before_exit);
  });
  printer.finish();
  TUTTI_RETURN_IF_ERROR(status);
  const GenerationUsage& usage = sink->usage();
  if (!options.run.model.quiet) {
    std::cerr << fmt::format("[{}{}]\n",
                             printer.summary(),
                             sink->finish() == FinishReason::kLength
                                 ? why_cut(usage, most_tokens, options.in_chat)
                                 : "");
  }
  return Answer{.said = sink->choice(), .usage = usage};
}

}  // namespace tutti
