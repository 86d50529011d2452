// Token embedding and output head, split over ranks by vocabulary rows.
#pragma once
#include "nn/scope.h"
#include "nn/step_context.h"

namespace tutti {

class VocabParallelEmbedding {
 public:
  VocabParallelEmbedding(const Scope& scope, int64_t vocab, int64_t width);

  /// Rows of this step's tokens; each comes from the one rank that has it.
  TensorView operator()(const StepContext& ctx) const;  // -> [t, width] f32, a residual stream

  /// x times the transposed table, whole vocabulary on every rank: the head of a model, tied or
  /// not.
  TensorView logits(const StepContext& ctx,
                    ConstTensorView x) const;  // [r, width] -> [r, vocab] f32

 private:
  Param* weight_;
  int64_t vocab_;
  int64_t width_;
  Range rows_;
};

}  // namespace tutti
