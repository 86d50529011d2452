#include "engine/choice_stream.h"

#include <utility>

#include "base/check.h"

namespace tutti {

ChoiceStream::ChoiceStream(const GenerationRequest& request, int32_t choice, const TokenText* text)
    : text_(text),
      stream_(text == nullptr ? nullptr : text->open(request.skip_special_tokens)),
      stops_(request.stop),
      choice_(choice),
      want_logprobs_(request.sampling.top_logprobs >= 0) {
  pending_.choice = choice_;
}

bool ChoiceStream::push(const SampledToken& token) {
  TUTTI_CHECK(!pending_.finish.has_value());
  pending_.tokens.push_back(token.token);
  if (want_logprobs_) {
    pending_.logprobs.push_back(logprobs_of(token));
  }
  if (stream_ != nullptr) {
    add_text(stops_.push(stream_->push(token.token)));
  }
  return stops_.matched();
}

void ChoiceStream::finish(FinishReason reason) {
  if (stream_ != nullptr) {
    add_text(stops_.push(stream_->finish()));
    add_text(stops_.finish());
  }
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
  return false;
}

void ChoiceStream::add_text(const std::string& text) {
  pending_.content += text;
}

TokenLogprobs ChoiceStream::logprobs_of(const SampledToken& token) const {
  const auto bytes = [&](int32_t id) {
    return text_ == nullptr ? std::string() : text_->token_bytes(id);
  };
  TokenLogprobs out{
      .token = token.token, .bytes = bytes(token.token), .logprob = token.logprob, .top = {}};
  for (const TopLogprob& top : token.top) {
    out.top.push_back({.token = top.token, .bytes = bytes(top.token), .logprob = top.logprob});
  }
  return out;
}

}  // namespace tutti
