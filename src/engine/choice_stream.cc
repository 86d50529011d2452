#include "engine/choice_stream.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace tutti {

ChoiceStream::ChoiceStream(const GenerationRequest& request, int32_t choice, const TokenText* text)
    : text_(text),
      form_(request.form),
      stream_(text == nullptr ? nullptr : text->open(request.skip_special_tokens)),
      stops_(request.stop),
      answer_(request.form, request.whole),
      choice_(choice),
      min_tokens_(request.min_tokens),
      want_logprobs_(request.sampling.top_logprobs >= 0),
      skip_special_(request.skip_special_tokens) {
  if (form_.reasoning != nullptr) {
    splitter_.emplace(*form_.reasoning, form_.reasoning_open);
  }
  pending_.choice = choice_;
}

void ChoiceStream::begin(GenerationDelta delta) {
  TUTTI_CHECK(tokens_ == 0);
  pending_ = std::move(delta);
  pending_.choice = choice_;
  said_ = !pending_.events.empty();
}

bool ChoiceStream::push(const SampledToken& token) {
  TUTTI_CHECK(!pending_.finish.has_value());
  pending_.tokens.push_back(token.token);
  ++tokens_;
  if (want_logprobs_) {
    pending_.logprobs.push_back(logprobs_of(token));
  }
  if (stream_ != nullptr) {
    add_output(text_of(token.token));
  }
  return stops_.matched();
}

void ChoiceStream::finish(FinishReason reason) {
  if (stream_ != nullptr) {
    add_output(stream_->finish());
    if (splitter_.has_value()) {
      add_piece(splitter_->finish());
    }
    add_answer(stops_.finish());
    answer_.finish(pending_.events);
  }
  pending_.calls = answer_.calls();
  // The flushed text may have completed a stop string.
  pending_.finish = stops_.matched() ? FinishReason::kStop : reason;
  pending_.stop = stops_.match();
}

// Text that is held back as the beginning of a call counts: whoever watches a stream sees it live.
bool ChoiceStream::ready() const {
  return said_ || pending_.finish.has_value() || (stream_ == nullptr && !pending_.tokens.empty());
}

GenerationDelta ChoiceStream::take() {
  GenerationDelta out = std::exchange(pending_, {});
  said_ = false;
  pending_.choice = choice_;
  return out;
}

bool ChoiceStream::reasoning() const {
  return splitter_.has_value() && splitter_->in_reasoning();
}

std::string ChoiceStream::text_of(int32_t token) {
  std::string text = stream_->push(token);
  if ((form_.reasoning != nullptr || form_.calls != nullptr) && text.empty()) {
    std::string bytes = text_->token_bytes(token);
    if (keeps(bytes)) {
      text = stream_->finish() + bytes;
    }
  }
  return text;
}

// Marks are special tokens in some vocabularies; they must reach the splitter and the tool call
// parser even if special tokens are not to be shown.
bool ChoiceStream::keeps(std::string_view token_bytes) const {
  const bool calls = form_.calls != nullptr;
  if (form_.reasoning != nullptr) {
    const std::vector<std::string>& more = form_.reasoning->implicit_close;
    if (token_bytes == form_.reasoning->open || token_bytes == form_.reasoning->close ||
        (calls && std::find(more.begin(), more.end(), token_bytes) != more.end())) {
      return true;
    }
  }
  return calls && form_.calls->is_mark(token_bytes);
}

void ChoiceStream::add_output(std::string_view text) {
  add_piece(splitter_.has_value() ? splitter_->push(text)
                                  : ReasoningPiece{.reasoning = {}, .content = std::string(text)});
}

// Stop strings end the answer; what the model thinks of is not said yet.
void ChoiceStream::add_piece(const ReasoningPiece& piece) {
  said_ = said_ || !piece.reasoning.empty();
  add_text(pending_.events, OutputEvent::Kind::kReasoning, piece.reasoning);
  if (splitter_.has_value() && splitter_->saw_mark()) {
    answer_.expect_no_close();
  }
  add_answer(stops_.push(piece.content, tokens_ > min_tokens_));
}

void ChoiceStream::add_answer(std::string_view text) {
  said_ = said_ || !text.empty();
  answer_.push(text, pending_.events);
  if (answer_.found_close() && unopened_tokens_ == 0) {
    unopened_tokens_ = tokens_;
  }
}

TokenLogprobs ChoiceStream::logprobs_of(const SampledToken& token) const {
  const auto bytes = [&](int32_t id) {
    return text_ == nullptr ? std::string() : text_->token_bytes(id);
  };
  TokenLogprobs out{.token = token.token,
                    .bytes = bytes(token.token),
                    .logprob = token.logprob,
                    .hidden = skip_special_ && text_ != nullptr && text_->is_special(token.token),
                    .top = {}};
  for (const TopLogprob& top : token.top) {
    out.top.push_back({.token = top.token, .bytes = bytes(top.token), .logprob = top.logprob});
  }
  return out;
}

}  // namespace tutti
