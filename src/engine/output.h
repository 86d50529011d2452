// What a model says, understood once: the engine takes reasoning and tool calls out of the text,
// and everybody who shows a reply (HTTP formats, commands) gets the same events.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "sched/sampling_params.h"

namespace tutti {

/// One thing that a choice says. A call is one kCallBegin, its arguments in any number of pieces
/// and one kCallEnd, with nothing of another call between them. What is cut off or malformed comes
/// as text: a call that has begun is whole.
struct OutputEvent {
  enum class Kind { kText, kReasoning, kCallBegin, kCallArguments, kCallEnd };

  Kind kind = Kind::kText;
  std::string text;  ///< of text and reasoning: UTF-8; of kCallArguments: a piece of a JSON object
  int32_t call = 0;  ///< of calls: number within the choice, from 0
  std::string id;    ///< of kCallBegin: the model's own id; empty if it writes none
  std::string name;  ///< of kCallBegin

  bool operator==(const OutputEvent&) const = default;
};

using OutputEvents = std::vector<OutputEvent>;

/// Goes on with the last event if that is of this kind (kText or kReasoning). Nothing for "".
void add_text(OutputEvents& events, OutputEvent::Kind kind, std::string_view text);

/// All text of one kind, in order.
std::string text_of(const OutputEvents& events, OutputEvent::Kind kind);

struct TokenLogprobs {
  int32_t token = 0;
  std::string bytes;  ///< raw bytes of the token, perhaps no whole UTF-8 character
  float logprob = 0.0F;
  int32_t rank = 0;     ///< of a prompt token: how many are at least as likely, itself included
  bool first = false;   ///< the prompt begins with it: there is no log-probability
  bool hidden = false;  ///< a special token that the text does not show

  struct Alternative {
    int32_t token = 0;
    std::string bytes;
    float logprob = 0.0F;
  };

  std::vector<Alternative> top;
};

/// A piece of one choice. Its text never holds part of a stop string.
struct GenerationDelta {
  int32_t choice = 0;
  OutputEvents events;
  std::vector<int32_t> tokens;  ///< ids behind this piece (EOS not included)
  std::vector<TokenLogprobs>
      logprobs;  ///< one per token if asked for, with echo the prompt's first
  std::vector<TokenLogprobs> prompt_logprobs;  ///< one per prompt token if asked for; comes once
  std::optional<FinishReason> finish;          ///< set on the last delta of a choice
  std::string stop;                            ///< with `finish`: the stop string that ended it
  int32_t calls = 0;                           ///< with `finish`: tool calls of the choice
};

/// All of one choice.
struct CollectedChoice {
  struct Call {
    std::string id;
    std::string name;
    std::string arguments;  ///< JSON text of an object
  };

  std::string content;
  std::string reasoning;
  std::vector<Call> calls;
  std::vector<int32_t> tokens;
  std::vector<TokenLogprobs> logprobs;
  std::vector<TokenLogprobs> prompt_logprobs;
  FinishReason finish = FinishReason::kStop;
  std::string stop;  ///< the stop string that ended it; "": none did

  void add(GenerationDelta delta);
};

struct GenerationUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;
  int64_t completion_tokens = 0;  ///< of all choices, EOS not counted
  int64_t reasoning_tokens = 0;
};

/// Receives one generation. Called on the delivery thread: must return quickly and must not throw.
/// Exactly one of on_done and on_error ends it.
class GenerationSink {
 public:
  virtual ~GenerationSink() = default;
  virtual void on_delta(GenerationDelta delta) = 0;
  virtual void on_done(const GenerationUsage& usage) = 0;
  virtual void on_error(const Status& status) = 0;
};

}  // namespace tutti
