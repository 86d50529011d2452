#include "engine/choice_stream.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace tutti {

ChoiceStream::ChoiceStream(const GenerationRequest& request, int32_t choice, const ChoiceText& text)
    : text_(text),
      stream_(text.tokens == nullptr ? nullptr : text.tokens->open(request.skip_special_tokens)),
      stops_(request.stop),
      choice_(choice),
      min_tokens_(request.min_tokens),
      keep_tool_marks_(request.keep_tool_marks && text.tool_calls != nullptr),
      want_logprobs_(request.sampling.top_logprobs >= 0),
      skip_special_(request.skip_special_tokens) {
  if (request.split_reasoning && text.reasoning != nullptr) {
    splitter_.emplace(*text.reasoning, request.reasoning_open);
    watch_for_close_ = !request.reasoning_open && !request.reasoning_closed;
  }
  pending_.choice = choice_;
}

void ChoiceStream::begin(GenerationDelta delta) {
  TUTTI_CHECK(tokens_ == 0);
  pending_ = std::move(delta);
  pending_.choice = choice_;
}

bool ChoiceStream::push(const SampledToken& token) {
  TUTTI_CHECK(!pending_.finish.has_value());
  pending_.tokens.push_back(token.token);
  ++tokens_;
  if (want_logprobs_) {
    pending_.logprobs.push_back(logprobs_of(token));
  }
  if (stream_ != nullptr) {
    add_text(text_of(token.token));
  }
  return stops_.matched();
}

void ChoiceStream::finish(FinishReason reason) {
  if (stream_ != nullptr) {
    add_text(stream_->finish());
    if (splitter_.has_value()) {
      add_piece(splitter_->finish());
    }
    add_content(stops_.finish());
  }
  pending_.unopened = unopened_;
  // The flushed text may have completed a stop string.
  pending_.finish = stops_.matched() ? FinishReason::kStop : reason;
}

bool ChoiceStream::ready() const {
  const bool has_text = !pending_.content.empty() || !pending_.reasoning.empty();
  return has_text || pending_.finish.has_value() ||
         (stream_ == nullptr && !pending_.tokens.empty());
}

GenerationDelta ChoiceStream::take() {
  GenerationDelta out = std::exchange(pending_, {});
  pending_.choice = choice_;
  return out;
}

bool ChoiceStream::reasoning() const {
  return splitter_.has_value() && splitter_->in_reasoning();
}

std::string ChoiceStream::text_of(int32_t token) {
  std::string text = stream_->push(token);
  if ((splitter_.has_value() || keep_tool_marks_) && text.empty()) {
    std::string bytes = text_.tokens->token_bytes(token);
    if (keeps(bytes)) {
      text = stream_->finish() + bytes;
    }
  }
  return text;
}

// Marks are special tokens in some vocabularies; they must reach the splitter and the tool call
// parser even if special tokens are not to be shown.
bool ChoiceStream::keeps(std::string_view token_bytes) const {
  if (splitter_.has_value()) {
    const std::vector<std::string>& more = text_.reasoning->implicit_close;
    if (token_bytes == text_.reasoning->open || token_bytes == text_.reasoning->close ||
        (keep_tool_marks_ && std::find(more.begin(), more.end(), token_bytes) != more.end())) {
      return true;
    }
  }
  return keep_tool_marks_ && text_.tool_calls->is_mark(token_bytes);
}

void ChoiceStream::add_text(std::string_view text) {
  add_piece(splitter_.has_value() ? splitter_->push(text)
                                  : ReasoningPiece{.reasoning = {}, .content = std::string(text)});
}

// Stop strings end the answer; what the model thinks of is not said yet.
void ChoiceStream::add_piece(const ReasoningPiece& piece) {
  pending_.reasoning += piece.reasoning;
  watch_for_close_ = watch_for_close_ && !splitter_->saw_mark();
  add_content(stops_.push(piece.content, tokens_ > min_tokens_));
}

void ChoiceStream::add_content(std::string_view text) {
  pending_.content += text;
  if (!watch_for_close_) {
    return;
  }
  const std::string& mark = text_.reasoning->close;
  content_end_ += text;
  content_bytes_ += text.size();
  const size_t found = content_end_.find(mark);
  if (found == std::string::npos) {
    content_end_.erase(0, content_end_.size() - std::min(content_end_.size(), mark.size() - 1));
    return;
  }
  const size_t end = content_bytes_ - content_end_.size() + found;
  unopened_ = UnopenedReasoning{.end = end, .answer = end + mark.size()};
  unopened_tokens_ = tokens_;
  watch_for_close_ = false;
}

TokenLogprobs ChoiceStream::logprobs_of(const SampledToken& token) const {
  const auto bytes = [&](int32_t id) {
    return text_.tokens == nullptr ? std::string() : text_.tokens->token_bytes(id);
  };
  TokenLogprobs out{
      .token = token.token,
      .bytes = bytes(token.token),
      .logprob = token.logprob,
      .hidden = skip_special_ && text_.tokens != nullptr && text_.tokens->is_special(token.token),
      .top = {}};
  for (const TopLogprob& top : token.top) {
    out.top.push_back({.token = top.token, .bytes = bytes(top.token), .logprob = top.logprob});
  }
  return out;
}

}  // namespace tutti
