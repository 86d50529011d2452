// chat.completion and chat.completion.chunk objects. Text of the reasoning goes into
// `reasoning_content`, which the common clients show apart from the answer; tool calls leave the
// content and go into `tool_calls`.
#include "base/json.h"
#include "base/utf8.h"
#include "serve/random_id.h"
#include "serve/reply_format.h"
#include "text/tool_calls.h"

namespace tutti {

namespace {

// "token":…,"bytes":[…],"logprob":…
void append_token(std::string& out, const std::string& bytes, float logprob) {
  out += R"({"token":)";
  append_json_string(out, replace_invalid_utf8(bytes));
  out += R"(,"bytes":[)";
  for (size_t i = 0; i < bytes.size(); ++i) {
    out += fmt::format("{}{}", i == 0 ? "" : ",", static_cast<unsigned char>(bytes[i]));
  }
  out += R"(],"logprob":)";
  append_logprob(out, logprob);
}

void append_logprobs(std::string& out, const std::vector<TokenLogprobs>& tokens) {
  out += R"({"content":[)";
  for (size_t i = 0; i < tokens.size(); ++i) {
    out += i == 0 ? "" : ",";
    append_token(out, tokens[i].bytes, tokens[i].logprob);
    out += R"(,"top_logprobs":[)";
    for (size_t k = 0; k < tokens[i].top.size(); ++k) {
      out += k == 0 ? "" : ",";
      append_token(out, tokens[i].top[k].bytes, tokens[i].top[k].logprob);
      out += '}';
    }
    out += "]}";
  }
  out += R"(],"refusal":null})";
}

// "id":…,"type":"function","function":{…}
void append_call(std::string& out, const ToolCall& call) {
  out += R"("id":)";
  append_json_string(out, call.id.empty() ? random_id("call") : call.id);
  out += R"(,"type":"function","function":{"name":)";
  append_json_string(out, call.name);
  out += R"(,"arguments":)";
  append_json_string(out, call.arguments);
  out += '}';
}

/// What a choice ends with: its own reason, unless it stopped to have tools called.
const char* finish_text(FinishReason reason, int64_t calls) {
  return calls > 0 && reason == FinishReason::kStop ? "tool_calls" : to_string(reason);
}

class ChatFormat final : public ReplyFormat {
 public:
  explicit ChatFormat(ReplyEnvelope envelope)
      : envelope_(std::move(envelope)),
        chunk_("data: " + envelope_json(envelope_, "chat.completion.chunk") + R"("choices":[)") {
    for (int32_t i = 0; envelope_.tool_calls != nullptr && i < envelope_.choices; ++i) {
      parsers_.emplace_back(*envelope_.tool_calls, &envelope_.tools);
    }
  }

  void begin(std::string& out) override {
    for (int32_t i = 0; i < envelope_.choices; ++i) {
      open_chunk(out, i);
      out += R"("role":"assistant","content":"")";
      close_chunk(out, nullptr, nullptr);
    }
  }

  void delta(const GenerationDelta& delta, std::string& out) override {
    // The log-probabilities of a piece go with its first event.
    const std::vector<TokenLogprobs>* logprobs = delta.logprobs.empty() ? nullptr : &delta.logprobs;
    if (!delta.reasoning.empty()) {
      text_chunk(out, delta.choice, "reasoning_content", delta.reasoning, logprobs);
      logprobs = nullptr;
    }
    if (parsers_.empty()) {
      answer(delta.choice, {delta.content, {}}, 0, logprobs, out);
      finish(delta, 0, out);
      return;
    }
    ToolCallParser& parser = parsers_[static_cast<size_t>(delta.choice)];
    const int64_t before = parser.calls();
    answer(delta.choice, parser.push(delta.content), before, logprobs, out);
    if (delta.finish) {
      const int64_t pushed = parser.calls();
      answer(delta.choice, parser.finish(), pushed, nullptr, out);
    }
    finish(delta, parser.calls(), out);
  }

  void end(const GenerationUsage& usage, std::string& out) override {
    if (envelope_.include_usage) {
      out += chunk_ + R"(],"usage":)" + usage_json(usage) + "}\n\n";
    }
    out += "data: [DONE]\n\n";
  }

  std::string whole(const std::vector<CollectedChoice>& choices,
                    const GenerationUsage& usage) override {
    std::string out = envelope_json(envelope_, "chat.completion") + R"("choices":[)";
    for (size_t i = 0; i < choices.size(); ++i) {
      const CollectedChoice& choice = choices[i];
      const ToolCallPiece answer = split_calls(choice.content);
      out += fmt::format(
          R"({}{{"index":{},"message":{{"role":"assistant","content":)", i == 0 ? "" : ",", i);
      if (answer.content.empty() && !answer.calls.empty()) {
        out += "null";
      } else {
        append_json_string(out, answer.content);
      }
      if (!choice.reasoning.empty()) {
        out += R"(,"reasoning_content":)";
        append_json_string(out, choice.reasoning);
      }
      for (size_t k = 0; k < answer.calls.size(); ++k) {
        out += k == 0 ? R"(,"tool_calls":[{)" : ",{";
        append_call(out, answer.calls[k]);
        out += k + 1 == answer.calls.size() ? "}]" : "}";
      }
      out += R"(,"refusal":null},"logprobs":)";
      if (envelope_.logprobs) {
        append_logprobs(out, choice.logprobs);
      } else {
        out += "null";
      }
      out += fmt::format(R"(,"finish_reason":"{}"}})",
                         finish_text(choice.finish, static_cast<int64_t>(answer.calls.size())));
    }
    out += ']';
    if (envelope_.prompt_logprobs) {
      out += R"(,"prompt_logprobs":)";
      append_prompt_logprobs(out, choices[0].prompt_logprobs);
    }
    out += R"(,"usage":)" + usage_json(usage) + "}";
    return out;
  }

 private:
  ToolCallPiece split_calls(const std::string& content) const {
    if (envelope_.tool_calls == nullptr) {
      return {content, {}};
    }
    ToolCallParser parser(*envelope_.tool_calls, &envelope_.tools);
    ToolCallPiece all = parser.push(content);
    ToolCallPiece rest = parser.finish();
    all.content += rest.content;
    all.calls.insert(all.calls.end(), rest.calls.begin(), rest.calls.end());
    if (envelope_.one_tool_call && all.calls.size() > 1) {
      all.calls.resize(1);
    }
    return all;
  }

  /// `first`: the number of calls that this choice sent before.
  void answer(int32_t choice,
              const ToolCallPiece& piece,
              int64_t first,
              const std::vector<TokenLogprobs>* logprobs,
              std::string& out) const {
    if (!piece.content.empty() || logprobs != nullptr) {
      text_chunk(out, choice, "content", piece.content, logprobs);
    }
    for (size_t i = 0; i < piece.calls.size(); ++i) {
      if (envelope_.one_tool_call && first + static_cast<int64_t>(i) > 0) {
        return;
      }
      open_chunk(out, choice);
      out += fmt::format(R"("tool_calls":[{{"index":{},)", first + static_cast<int64_t>(i));
      append_call(out, piece.calls[i]);
      out += "}]";
      close_chunk(out, nullptr, nullptr);
    }
  }

  void finish(const GenerationDelta& delta, int64_t calls, std::string& out) const {
    if (delta.finish) {
      open_chunk(out, delta.choice);
      close_chunk(out, nullptr, finish_text(*delta.finish, calls));
    }
  }

  void open_chunk(std::string& out, int32_t choice) const {
    out += chunk_;
    out += R"({"index":)";
    out += fmt::format_int(choice).c_str();
    out += R"(,"delta":{)";
  }

  void close_chunk(std::string& out,
                   const std::vector<TokenLogprobs>* logprobs,
                   const char* finish) const {
    out += R"(},"logprobs":)";
    if (logprobs == nullptr) {
      out += "null";
    } else {
      append_logprobs(out, *logprobs);
    }
    out += R"(,"finish_reason":)";
    append_finish_reason(out, finish);
    out += envelope_.include_usage ? R"(}],"usage":null})" : "}]}";
    out += "\n\n";
  }

  void text_chunk(std::string& out,
                  int32_t choice,
                  const char* field,
                  const std::string& text,
                  const std::vector<TokenLogprobs>* logprobs) const {
    open_chunk(out, choice);
    out += '"';
    out += field;
    out += "\":";
    append_json_string(out, text);
    close_chunk(out, logprobs, nullptr);
  }

  ReplyEnvelope envelope_;
  std::string chunk_;                    // what every event begins with
  std::vector<ToolCallParser> parsers_;  // one per choice; empty without tools
};

}  // namespace

std::unique_ptr<ReplyFormat> make_chat_format(ReplyEnvelope envelope) {
  return std::make_unique<ChatFormat>(std::move(envelope));
}

}  // namespace tutti
