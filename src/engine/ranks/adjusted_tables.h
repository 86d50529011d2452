// The tables of one rank's device for sequences whose logits are changed; AdjustedRows says what
// comes into them. Every rank has all of them, so that every rank samples the same tokens.
#pragma once
#include <cstdint>

#include "backend/rank_group.h"
#include "engine/ranks/step_plan.h"

namespace tutti {

class AdjustedTables {
 public:
  /// Device memory of tables for `rows` sequences, in bytes.
  static int64_t device_bytes(int64_t rows, int64_t vocab_size);

  /// kOutOfMemory if there is none. Without it, or with no rows, nothing can be changed.
  Status allocate(RankHandles& rank, int64_t rows, int64_t vocab_size);

  /// Queues the plan's writes.
  Status write(RankHandles& rank, const StepPlan& plan);

  AdjustTables view() const {
    return {.seen = seen_.view(), .allowed = allowed_.view(), .edits = edits_.view()};
  }

 private:
  Tensor seen_;
  Tensor allowed_;
  Tensor edits_;
};

}  // namespace tutti
