// chat.completion and chat.completion.chunk objects. Text of the reasoning goes into
// `reasoning_content`, which the common clients show apart from the answer; tool calls leave the
// content and go into `tool_calls`.
#include "base/json.h"
#include "base/utf8.h"
#include "serve/openai/formats.h"
#include "serve/random_id.h"

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
void append_call(std::string& out,
                 const std::string& id,
                 const std::string& name,
                 const std::string& arguments) {
  out += R"("id":)";
  append_json_string(out, id.empty() ? random_id("call") : id);
  out += R"(,"type":"function","function":{"name":)";
  append_json_string(out, name);
  out += R"(,"arguments":)";
  append_json_string(out, arguments);
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
        chunk_("data: " + envelope_json(envelope_, "chat.completion.chunk") + R"("choices":[)") {}

  void begin(std::string& out) override {
    if (envelope_.token_ids) {
      more_ = R"(,"prompt_token_ids":)" + ids_json(envelope_.prompts[0]);
    }
    for (int32_t i = 0; i < envelope_.choices; ++i) {
      open_chunk(out, i);
      out += R"("role":"assistant","content":"")";
      close_chunk(out, nullptr, nullptr);
    }
  }

  void delta(const GenerationDelta& delta, std::string& out) override {
    using Kind = OutputEvent::Kind;
    // The log-probabilities of a piece go with its first text.
    const std::vector<TokenLogprobs>* logprobs = delta.logprobs.empty() ? nullptr : &delta.logprobs;
    const auto text = [&](const char* field, const std::string& said) {
      text_chunk(out, delta.choice, field, said, std::exchange(logprobs, nullptr));
    };
    tokens_ = envelope_.token_ids ? &delta.tokens : nullptr;
    const OutputEvents& events = delta.events;
    for (size_t i = 0; i < events.size(); ++i) {
      const OutputEvent& event = events[i];
      const bool call = event.kind != Kind::kText && event.kind != Kind::kReasoning;
      if (call && logprobs != nullptr) {
        text("content", "");
      }
      switch (event.kind) {
        case Kind::kText:
          text("content", event.text);
          break;
        case Kind::kReasoning:
          text("reasoning_content", event.text);
          break;
        case Kind::kCallBegin: {
          std::string arguments;
          for (; i + 1 < events.size() && events[i + 1].kind == Kind::kCallArguments; ++i) {
            arguments += events[i + 1].text;
          }
          open_call_chunk(out, delta.choice, event.call);
          append_call(out, event.id, event.name, arguments);
          close_call_chunk(out);
          break;
        }
        case Kind::kCallArguments:
          open_call_chunk(out, delta.choice, event.call);
          out += R"("function":{"arguments":)";
          append_json_string(out, event.text);
          out += '}';
          close_call_chunk(out);
          break;
        case Kind::kCallEnd:
          break;
      }
    }
    if (logprobs != nullptr) {
      text("content", "");
    }
    if (delta.finish) {
      open_chunk(out, delta.choice);
      close_chunk(out, nullptr, finish_text(*delta.finish, delta.calls));
    }
    tokens_ = nullptr;
  }

  void end(const GenerationUsage& usage, std::string& out) override {
    if (envelope_.include_usage) {
      out += chunk_ + R"(],"usage":)" + usage_json(usage) + "}\n\n";
    }
    out += "data: [DONE]\n\n";
  }

  void error(const Status& status, std::string& out) override { out += error_event(status); }

  std::string whole(const std::vector<CollectedChoice>& choices,
                    const GenerationUsage& usage) override {
    std::string out = envelope_json(envelope_, "chat.completion") + R"("choices":[)";
    for (size_t i = 0; i < choices.size(); ++i) {
      const CollectedChoice& choice = choices[i];
      out += fmt::format(
          R"({}{{"index":{},"message":{{"role":"assistant","content":)", i == 0 ? "" : ",", i);
      if (choice.content.empty() && !choice.calls.empty()) {
        out += "null";
      } else {
        append_json_string(out, choice.content);
      }
      if (!choice.reasoning.empty()) {
        out += R"(,"reasoning_content":)";
        append_json_string(out, choice.reasoning);
      }
      for (size_t k = 0; k < choice.calls.size(); ++k) {
        out += k == 0 ? R"(,"tool_calls":[{)" : ",{";
        append_call(out, choice.calls[k].id, choice.calls[k].name, choice.calls[k].arguments);
        out += k + 1 == choice.calls.size() ? "}]" : "}";
      }
      out += R"(,"refusal":null},"logprobs":)";
      if (envelope_.logprobs) {
        append_logprobs(out, choice.logprobs);
      } else {
        out += "null";
      }
      out += fmt::format(R"(,"finish_reason":"{}")",
                         finish_text(choice.finish, static_cast<int64_t>(choice.calls.size())));
      if (envelope_.token_ids) {
        out += R"(,"token_ids":)" + ids_json(choice.tokens);
      }
      out += '}';
    }
    out += ']';
    if (envelope_.token_ids) {
      out += R"(,"prompt_token_ids":)" + ids_json(envelope_.prompts[0]);
    }
    if (envelope_.prompt_logprobs) {
      out += R"(,"prompt_logprobs":)";
      append_prompt_logprobs(out, choices[0].prompt_logprobs);
    }
    out += R"(,"usage":)" + usage_json(usage) + "}";
    return out;
  }

 private:
  void open_chunk(std::string& out, int32_t choice) const {
    out += chunk_;
    out += R"({"index":)";
    out += fmt::format_int(choice).c_str();
    out += R"(,"delta":{)";
  }

  void close_chunk(std::string& out,
                   const std::vector<TokenLogprobs>* logprobs,
                   const char* finish) {
    out += R"(},"logprobs":)";
    if (logprobs == nullptr) {
      out += "null";
    } else {
      append_logprobs(out, *logprobs);
    }
    out += R"(,"finish_reason":)";
    append_finish_reason(out, finish);
    if (tokens_ != nullptr) {
      out += R"(,"token_ids":)" + ids_json(*std::exchange(tokens_, nullptr));
    }
    out += "}]";
    out += std::exchange(more_, {});
    out += envelope_.include_usage ? R"(,"usage":null})" : "}";
    out += "\n\n";
  }

  void open_call_chunk(std::string& out, int32_t choice, int32_t call) const {
    open_chunk(out, choice);
    out += fmt::format(R"("tool_calls":[{{"index":{},)", call);
  }

  void close_call_chunk(std::string& out) {
    out += "}]";
    close_chunk(out, nullptr, nullptr);
  }

  void text_chunk(std::string& out,
                  int32_t choice,
                  const char* field,
                  const std::string& text,
                  const std::vector<TokenLogprobs>* logprobs) {
    open_chunk(out, choice);
    out += '"';
    out += field;
    out += "\":";
    append_json_string(out, text);
    close_chunk(out, logprobs, nullptr);
  }

  ReplyEnvelope envelope_;
  std::string chunk_;                             // what every event begins with
  std::string more_;                              // members of the next chunk
  const std::vector<int32_t>* tokens_ = nullptr;  // of the piece, until a chunk has them
};

}  // namespace

std::unique_ptr<ReplyFormat> make_chat_format(ReplyEnvelope envelope) {
  return std::make_unique<ChatFormat>(std::move(envelope));
}

}  // namespace tutti
