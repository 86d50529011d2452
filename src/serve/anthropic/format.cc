// Messages and their events. Each event has its name twice, on its `event:` line and in its data:
// clients drop one without the line.
#include "base/json.h"
#include "serve/anthropic/anthropic.h"
#include "serve/random_id.h"

namespace tutti {

namespace {

// Clients send it back beside the thinking and drop thinking without one; it means nothing here.
constexpr const char* kSignature = "dHV0dGk=";

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

// What was cached is no part of input_tokens.
std::string usage_json(const GenerationUsage& usage) {
  return fmt::format(R"({{"input_tokens":{},"cache_creation_input_tokens":0,)"
                     R"("cache_read_input_tokens":{},"output_tokens":{}}})",
                     usage.prompt_tokens - usage.cached_prompt_tokens,
                     usage.cached_prompt_tokens,
                     usage.completion_tokens);
}

std::string tool_use(const std::string& id, const std::string& name, std::string_view input) {
  return fmt::format(R"({{"type":"tool_use","id":{},"name":{},"input":{}}})",
                     quoted(id.empty() ? random_id("toolu_") : id),
                     quoted(name),
                     input);
}

class AnthropicFormat final : public ReplyFormat {
 public:
  explicit AnthropicFormat(ReplyEnvelope envelope) : envelope_(std::move(envelope)) {}

  std::string whole(const std::vector<CollectedChoice>& choices,
                    const GenerationUsage& usage) override {
    const CollectedChoice& choice = choices[0];
    std::string blocks;
    const auto add = [&](const std::string& block) {
      blocks += (blocks.empty() ? "" : ",") + block;
    };
    if (!choice.reasoning.empty()) {
      add(fmt::format(R"({{"type":"thinking","thinking":{},"signature":"{}"}})",
                      quoted(choice.reasoning),
                      kSignature));
    }
    if (!choice.content.empty()) {
      add(fmt::format(R"({{"type":"text","text":{}}})", quoted(choice.content)));
    }
    for (const CollectedChoice::Call& call : choice.calls) {
      add(tool_use(call.id, call.name, call.arguments));
    }
    note_end(choice.finish, choice.stop, !choice.calls.empty());
    return message(blocks, usage, true);
  }

  void begin(std::string& out) override {
    GenerationUsage usage;
    usage.prompt_tokens = envelope_.prompt_tokens;
    event(out, "message_start", R"("message":)" + message("", usage, false));
  }

  void delta(const GenerationDelta& delta, std::string& out) override {
    using Kind = OutputEvent::Kind;
    for (const OutputEvent& piece : delta.events) {
      switch (piece.kind) {
        case Kind::kText:
          open(out, Block::kText, R"({"type":"text","text":""})");
          piece_of_block(out, "text_delta", "text", piece.text);
          break;
        case Kind::kReasoning:
          open(out, Block::kThinking, R"({"type":"thinking","thinking":"","signature":""})");
          piece_of_block(out, "thinking_delta", "thinking", piece.text);
          break;
        case Kind::kCallBegin:
          close(out);
          open(out, Block::kCall, tool_use(piece.id, piece.name, "{}"));
          break;
        case Kind::kCallArguments:
          piece_of_block(out, "input_json_delta", "partial_json", piece.text);
          break;
        case Kind::kCallEnd:
          close(out);
          break;
      }
    }
    if (delta.finish) {
      close(out);
      note_end(*delta.finish, delta.stop, delta.calls > 0);
    }
  }

  void end(const GenerationUsage& usage, std::string& out) override {
    event(out,
          "message_delta",
          fmt::format(R"("delta":{{{}}},"usage":{})", end_members(usage), usage_json(usage)));
    event(out, "message_stop", "");
  }

  void error(const Status& status, std::string& out) override {
    out += "event: error\ndata: " +
           anthropic_dialect().error_body(to_api_error(status), envelope_.request_id) + "\n\n";
  }

  std::string_view keep_alive() const override {
    return "event: ping\ndata: {\"type\":\"ping\"}\n\n";
  }

 private:
  enum class Block { kNone, kText, kThinking, kCall };

  static void event(std::string& out, const char* name, const std::string& members) {
    out += fmt::format("event: {0}\ndata: {{\"type\":\"{0}\"{1}{2}}}\n\n",
                       name,
                       members.empty() ? "" : ",",
                       members);
  }

  void open(std::string& out, Block kind, const std::string& block) {
    if (open_ == kind) {
      return;
    }
    close(out);
    open_ = kind;
    event(
        out, "content_block_start", fmt::format(R"("index":{},"content_block":{})", index_, block));
  }

  void close(std::string& out) {
    if (open_ == Block::kThinking) {
      piece_of_block(out, "signature_delta", "signature", kSignature);
    }
    if (open_ != Block::kNone) {
      event(out, "content_block_stop", fmt::format(R"("index":{})", index_++));
    }
    open_ = Block::kNone;
  }

  void piece_of_block(std::string& out,
                      const char* type,
                      const char* member,
                      std::string_view text) const {
    event(out,
          "content_block_delta",
          fmt::format(
              R"("index":{},"delta":{{"type":"{}","{}":{}}})", index_, type, member, quoted(text)));
  }

  void note_end(FinishReason finish, const std::string& stop, bool calls) {
    finish_ = finish;
    stop_ = stop;
    calls_ = calls;
  }

  // "stop_reason":…,"stop_sequence":…
  std::string end_members(const GenerationUsage& usage) const {
    const char* reason = "end_turn";
    if (finish_ == FinishReason::kLength) {
      const bool wanted = usage.completion_tokens >= envelope_.max_tokens.value_or(INT64_MAX);
      reason = wanted ? "max_tokens" : "model_context_window_exceeded";
    } else if (calls_) {
      reason = "tool_use";
    } else if (!stop_.empty()) {
      reason = "stop_sequence";
    }
    return fmt::format(
        R"("stop_reason":"{}","stop_sequence":{})", reason, stop_.empty() ? "null" : quoted(stop_));
  }

  std::string message(const std::string& blocks, const GenerationUsage& usage, bool ended) const {
    return fmt::format(
        R"({{"id":"{}","type":"message","role":"assistant","model":{},"content":[{}],{},"usage":{}}})",
        envelope_.id,
        quoted(envelope_.model),
        blocks,
        ended ? end_members(usage) : R"("stop_reason":null,"stop_sequence":null)",
        usage_json(usage));
  }

  const ReplyEnvelope envelope_;
  Block open_ = Block::kNone;
  int32_t index_ = 0;
  FinishReason finish_ = FinishReason::kStop;
  std::string stop_;
  bool calls_ = false;
};

}  // namespace

std::unique_ptr<ReplyFormat> make_anthropic_format(ReplyEnvelope envelope) {
  return std::make_unique<AnthropicFormat>(std::move(envelope));
}

}  // namespace tutti
