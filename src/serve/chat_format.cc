// chat.completion and chat.completion.chunk objects. Text of the reasoning goes into
// `reasoning_content`, which the common clients show apart from the answer.
#include "base/json.h"
#include "base/utf8.h"
#include "serve/reply_format.h"

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

class ChatFormat final : public ReplyFormat {
 public:
  explicit ChatFormat(ReplyEnvelope envelope)
      : envelope_(std::move(envelope)),
        chunk_("data: " + envelope_json(envelope_, "chat.completion.chunk") + R"("choices":[)") {}

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
    if (!delta.content.empty() || logprobs != nullptr) {
      text_chunk(out, delta.choice, "content", delta.content, logprobs);
    }
    if (delta.finish) {
      open_chunk(out, delta.choice);
      close_chunk(out, nullptr, to_string(*delta.finish));
    }
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
      out += fmt::format(
          R"({}{{"index":{},"message":{{"role":"assistant","content":)", i == 0 ? "" : ",", i);
      append_json_string(out, choice.content);
      if (!choice.reasoning.empty()) {
        out += R"(,"reasoning_content":)";
        append_json_string(out, choice.reasoning);
      }
      out += R"(,"refusal":null},"logprobs":)";
      if (envelope_.logprobs) {
        append_logprobs(out, choice.logprobs);
      } else {
        out += "null";
      }
      out += fmt::format(R"(,"finish_reason":"{}"}})", to_string(choice.finish));
    }
    out += R"(],"usage":)" + usage_json(usage) + "}";
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
  std::string chunk_;  // what every event begins with
};

}  // namespace

std::unique_ptr<ReplyFormat> make_chat_format(ReplyEnvelope envelope) {
  return std::make_unique<ChatFormat>(std::move(envelope));
}

}  // namespace tutti
