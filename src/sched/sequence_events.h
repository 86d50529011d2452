// What a step brought, for the sinks: one list per step, flat, its buffers used again and again.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "sched/batch.h"

namespace tutti {

/// News about one sequence. `finish` or a `status` that is not ok make it the last.
struct SequenceEvent {
  uint64_t sequence_id = 0;
  std::span<const SampledToken> tokens;  ///< new output, stop ids not included
  std::span<const PromptScore> scores;   ///< of the next prompt tokens; all come before any output
  std::optional<FinishReason> finish;
  Status status;
  int64_t cached_prompt_tokens = 0;  ///< of the prompt, taken from the prefix cache

  bool last() const { return finish.has_value() || !status.ok(); }
};

struct EventRecord {
  uint64_t sequence_id = 0;
  uint64_t tag = 0;         ///< SequenceRequest::tag
  int32_t token_begin = 0;  ///< in EventList::tokens
  int32_t token_count = 0;
  int32_t score_begin = 0;  ///< in EventList::scores
  int32_t score_count = 0;
  int32_t cached_prompt_tokens = 0;
  int32_t failure = -1;  ///< in EventList::failures
  std::optional<FinishReason> finish;

  bool last() const { return finish.has_value() || failure >= 0; }
};

struct EventList {
  std::vector<EventRecord> records;
  std::vector<SampledToken> tokens;
  std::vector<PromptScore> scores;
  std::vector<Status> failures;

  void clear() {
    records.clear();
    tokens.clear();
    scores.clear();
    failures.clear();
  }

  /// Valid as long as the list is not changed.
  SequenceEvent event(const EventRecord& record) const {
    return {.sequence_id = record.sequence_id,
            .tokens = std::span(tokens).subspan(static_cast<size_t>(record.token_begin),
                                                static_cast<size_t>(record.token_count)),
            .scores = std::span(scores).subspan(static_cast<size_t>(record.score_begin),
                                                static_cast<size_t>(record.score_count)),
            .finish = record.finish,
            .status = record.failure < 0 ? Status() : failures[static_cast<size_t>(record.failure)],
            .cached_prompt_tokens = record.cached_prompt_tokens};
  }
};

}  // namespace tutti
