// text_completion objects (the legacy API), whole or streamed.
#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/utf8.h"
#include "serve/openai/formats.h"

namespace tutti {

namespace {

int64_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // not a UTF-8 continuation byte
  });
}

// The chosen token is always among them, so there may be one more than was asked for. Keys of an
// object are unique, but pieces of characters all print as U+FFFD: of tokens that print alike the
// chosen one has the text, so that it is found under its entry in `tokens`, else the likeliest; the
// others are named by their ids, as vLLM does where it is asked to.
void append_top(std::string& out, const TokenLogprobs& token) {
  std::vector<std::string> seen{replace_invalid_utf8(token.bytes)};
  const auto add = [&](const std::string& key, float logprob) {
    out += out.back() == '{' ? "" : ",";
    append_json_string(out, key);
    out += ':';
    append_logprob(out, logprob);
  };
  bool chosen = false;
  out += '{';
  for (const TokenLogprobs::Alternative& top : token.top) {
    if (top.token == token.token) {
      chosen = true;
      add(seen[0], top.logprob);
      continue;
    }
    std::string text = replace_invalid_utf8(top.bytes);
    if (std::find(seen.begin(), seen.end(), text) != seen.end()) {
      text = fmt::format("token_id:{}", top.token);
    }
    add(text, top.logprob);
    seen.push_back(std::move(text));
  }
  if (!chosen) {
    add(seen[0], token.logprob);
  }
  out += '}';
}

// `offset` is where the first token begins, in characters of the choice's text; moved on.
void append_logprobs(std::string& out, const std::vector<TokenLogprobs>& tokens, int64_t& offset) {
  std::string names;
  std::string values;
  std::string tops;
  std::string offsets;
  for (const TokenLogprobs& token : tokens) {
    const char* comma = names.empty() ? "" : ",";
    const std::string text = replace_invalid_utf8(token.bytes);
    names += comma;
    append_json_string(names, text);
    values += comma;
    tops += comma;
    if (token.first) {
      values += "null";
      tops += "null";
    } else {
      append_logprob(values, token.logprob);
      append_top(tops, token);
    }
    offsets += fmt::format("{}{}", comma, offset);
    offset += token.hidden ? 0 : count_characters(text);
  }
  out += fmt::format(
      R"({{"tokens":[{}],"token_logprobs":[{}],"top_logprobs":[{}],"text_offset":[{}]}})",
      names,
      values,
      tops,
      offsets);
}

class CompletionFormat final : public ReplyFormat {
 public:
  explicit CompletionFormat(ReplyEnvelope envelope)
      : envelope_(std::move(envelope)),
        object_(envelope_json(envelope_, "text_completion") + R"("choices":[)"),
        offsets_(static_cast<size_t>(envelope_.choices), 0) {}

  void begin(std::string&) override {}

  void delta(const GenerationDelta& delta, std::string& out) override {
    std::string text;
    for (const OutputEvent& event : delta.events) {
      text += event.text;
    }
    if (text.empty() && delta.logprobs.empty() && !delta.finish) {
      return;
    }
    out += "data: ";
    out += object_;
    append_choice(out,
                  delta.choice,
                  text,
                  delta.logprobs.empty() ? nullptr : &delta.logprobs,
                  delta.finish ? to_string(*delta.finish) : nullptr);
    append_ids(out, delta.choice, delta.tokens, told_.insert(delta.choice).second);
    out += envelope_.include_usage ? R"(],"usage":null})" : "]}";
    out += "\n\n";
  }

  void end(const GenerationUsage& usage, std::string& out) override {
    if (envelope_.include_usage) {
      out += "data: " + object_ + R"(],"usage":)" + usage_json(usage) + "}\n\n";
    }
    out += "data: [DONE]\n\n";
  }

  void error(const Status& status, std::string& out) override { out += error_event(status); }

  std::string whole(const std::vector<CollectedChoice>& choices,
                    const GenerationUsage& usage) override {
    std::string out = object_;
    for (size_t i = 0; i < choices.size(); ++i) {
      out += i == 0 ? "" : ",";
      append_choice(out,
                    static_cast<int32_t>(i),
                    choices[i].reasoning + choices[i].content,
                    envelope_.logprobs ? &choices[i].logprobs : nullptr,
                    to_string(choices[i].finish));
      append_ids(out, static_cast<int32_t>(i), choices[i].tokens, true);
      if (envelope_.prompt_logprobs) {
        out.pop_back();  // the choice goes on
        out += R"(,"prompt_logprobs":)";
        append_prompt_logprobs(out, choices[i].prompt_logprobs);
        out += '}';
      }
    }
    out += R"(],"usage":)" + usage_json(usage) + "}";
    return out;
  }

 private:
  // More of the choice that `out` ends with.
  void append_ids(std::string& out,
                  int32_t choice,
                  const std::vector<int32_t>& tokens,
                  bool with_prompt) const {
    if (!envelope_.token_ids) {
      return;
    }
    out.pop_back();  // the choice goes on
    out += R"(,"token_ids":)" + ids_json(tokens);
    if (with_prompt) {
      const size_t each = offsets_.size() / envelope_.prompts.size();  // choices of a prompt
      out += R"(,"prompt_token_ids":)" +
             ids_json(envelope_.prompts[static_cast<size_t>(choice) / each]);
    }
    out += '}';
  }

  void append_choice(std::string& out,
                     int32_t index,
                     const std::string& text,
                     const std::vector<TokenLogprobs>* logprobs,
                     const char* finish) {
    out += R"({"index":)";
    out += fmt::format_int(index).c_str();
    out += R"(,"text":)";
    append_json_string(out, text);
    out += R"(,"logprobs":)";
    if (logprobs == nullptr) {
      out += "null";
    } else {
      append_logprobs(out, *logprobs, offsets_[static_cast<size_t>(index)]);
    }
    out += R"(,"finish_reason":)";
    append_finish_reason(out, finish);
    out += '}';
  }

  ReplyEnvelope envelope_;
  std::string object_;            // what every object begins with
  std::vector<int64_t> offsets_;  // per choice, in characters
  std::set<int32_t> told_;        // choices of a stream that have said the ids of their prompts
};

}  // namespace

std::unique_ptr<ReplyFormat> make_completion_format(ReplyEnvelope envelope) {
  return std::make_unique<CompletionFormat>(std::move(envelope));
}

}  // namespace tutti
