// Tokens of one choice to the deltas a client gets: detokenise, reasoning split, stop strings, tool
// calls. Delivery thread only.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "engine/answer_reader.h"
#include "engine/language_model.h"
#include "engine/stop_matcher.h"
#include "engine/token_text.h"
#include "sched/batch.h"
#include "text/reasoning.h"

namespace tutti {

class ChoiceStream {
 public:
  /// `text` outlives the stream; nullptr: deltas hold ids only.
  ChoiceStream(const GenerationRequest& request, int32_t choice, const TokenText* text);

  /// What comes before the first token: text, logprobs, prompt_logprobs.
  void begin(GenerationDelta delta);

  /// The form in which token and alternatives are sent.
  TokenLogprobs logprobs_of(const SampledToken& token) const;

  /// Takes one token. True if it completed a stop string: the choice ends here.
  bool push(const SampledToken& token);

  /// The choice is over: lets out whatever was held back.
  void finish(FinishReason reason);

  /// Whether take() has something to send. Tokens without text wait for the text they begin.
  bool ready() const;

  /// Everything since the last call.
  GenerationDelta take();

  /// Whether the next token belongs to the reasoning.
  bool reasoning() const;

  /// Tokens up to a closing mark that no opening one began.
  int64_t unopened_reasoning_tokens() const { return unopened_tokens_; }

 private:
  std::string text_of(int32_t token);
  bool keeps(std::string_view token_bytes) const;
  void add_output(std::string_view text);
  void add_piece(const ReasoningPiece& piece);
  void add_answer(std::string_view text);

  const TokenText* text_;
  const OutputForm form_;
  std::unique_ptr<TextStream> stream_;
  StopMatcher stops_;
  std::optional<ReasoningSplitter> splitter_;
  AnswerReader answer_;
  bool said_ = false;  // text has come since the last take()
  int64_t unopened_tokens_ = 0;
  GenerationDelta pending_;
  const int32_t choice_;
  const int64_t min_tokens_;
  int64_t tokens_ = 0;
  const bool want_logprobs_;
  const bool skip_special_;
};

}  // namespace tutti
