// Replies of /api/chat and /api/generate: an object, or one per line as the answer comes. Calls
// have their arguments as objects, so that each goes out when it is whole.
#include <chrono>

#include "base/json.h"
#include "base/wall_clock.h"
#include "serve/ollama/ollama.h"

namespace tutti {

namespace {

using Clock = std::chrono::steady_clock;

// {"model":…,"created_at":…
std::string head(const std::string& model) {
  std::string out = R"({"model":)";
  append_json_string(out, model);
  return out + fmt::format(R"(,"created_at":"{}")", utc_text(unix_now()));
}

void append_member(std::string& out, const char* name, std::string_view text) {
  out += fmt::format(R"(,"{}":)", name);
  append_json_string(out, text);
}

class OllamaFormat final : public ReplyFormat {
 public:
  OllamaFormat(OllamaRoute route, ReplyEnvelope envelope)
      : chat_(route == OllamaRoute::kChat), envelope_(std::move(envelope)) {}

  const char* content_type() const override { return "application/x-ndjson"; }

  std::string_view event_end() const override { return "\n"; }

  // There are no comments in these lines, and clients want an object in each.
  std::string_view keep_alive() const override { return {}; }

  std::string whole(const std::vector<CollectedChoice>& choices,
                    const GenerationUsage& usage) override {
    const CollectedChoice& choice = choices[0];
    std::string calls;
    for (size_t i = 0; i < choice.calls.size(); ++i) {
      calls += (i == 0 ? "" : ",") + call(i, choice.calls[i].name, choice.calls[i].arguments);
    }
    return head(envelope_.model) + said(choice.content, choice.reasoning, calls) +
           ending(choice.finish, usage) + "}";
  }

  void begin(std::string&) override {}

  void delta(const GenerationDelta& delta, std::string& out) override {
    using Kind = OutputEvent::Kind;
    if (first_ == Clock::time_point()) {
      first_ = Clock::now();
    }
    for (const OutputEvent& event : delta.events) {
      switch (event.kind) {
        case Kind::kText:
          line(out, said(event.text, "", ""));
          break;
        case Kind::kReasoning:
          line(out, said("", event.text, ""));
          break;
        case Kind::kCallBegin:
          name_ = event.name;
          arguments_.clear();
          break;
        case Kind::kCallArguments:
          arguments_ += event.text;
          break;
        case Kind::kCallEnd:
          line(out, said("", "", call(static_cast<size_t>(event.call), name_, arguments_)));
          break;
      }
    }
    finish_ = delta.finish.value_or(finish_);
  }

  void end(const GenerationUsage& usage, std::string& out) override {
    out += head(envelope_.model) + said("", "", "") + ending(finish_, usage) + "}\n";
  }

  void error(const Status& status, std::string& out) override {
    out += ollama_dialect().error_body(to_api_error(status), envelope_.request_id) + "\n";
  }

 private:
  static std::string call(size_t index, const std::string& name, const std::string& arguments) {
    std::string out = fmt::format(R"({{"function":{{"index":{},"name":)", index);
    append_json_string(out, name);
    return out + R"(,"arguments":)" + (arguments.empty() ? "{}" : arguments) + "}}";
  }

  // ,"message":{…} of a chat, ,"response":… of a prompt
  std::string said(std::string_view content,
                   std::string_view thinking,
                   std::string_view calls) const {
    std::string out = chat_ ? R"(,"message":{"role":"assistant")" : "";
    append_member(out, chat_ ? "content" : "response", content);
    if (!thinking.empty()) {
      append_member(out, "thinking", thinking);
    }
    if (!calls.empty()) {
      out += fmt::format(R"(,"tool_calls":[{}])", calls);
    }
    return out + (chat_ ? "}" : "");
  }

  void line(std::string& out, const std::string& members) const {
    out += head(envelope_.model) + members + ",\"done\":false}\n";
  }

  // Times as this server sees them: until the first piece of a stream, and from it on.
  std::string ending(FinishReason finish, const GenerationUsage& usage) const {
    const auto now = Clock::now();
    const auto first = first_ == Clock::time_point() ? now : first_;
    const auto ns = [](Clock::duration time) {
      return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
    };
    return fmt::format(R"(,"done":true,"done_reason":"{}","total_duration":{},"load_duration":0,)"
                       R"("prompt_eval_count":{},"prompt_eval_duration":{},"eval_count":{},)"
                       R"("eval_duration":{})",
                       to_string(finish),
                       ns(now - begun_),
                       usage.prompt_tokens,
                       ns(first - begun_),
                       usage.completion_tokens,
                       ns(now - first));
  }

  const bool chat_;
  const ReplyEnvelope envelope_;
  const Clock::time_point begun_ = Clock::now();
  Clock::time_point first_{};
  FinishReason finish_ = FinishReason::kStop;
  std::string name_;  // of the call under way
  std::string arguments_;
};

}  // namespace

std::unique_ptr<ReplyFormat> make_ollama_format(OllamaRoute route, ReplyEnvelope envelope) {
  return std::make_unique<OllamaFormat>(route, std::move(envelope));
}

std::string ollama_loaded(OllamaRoute route, const std::string& model) {
  return head(model) +
         (route == OllamaRoute::kChat ? R"(,"message":{"role":"assistant","content":""})"
                                      : R"(,"response":"")") +
         R"(,"done":true,"done_reason":"load"})";
}

}  // namespace tutti
