// Token embedding and output head, split over ranks by vocabulary rows.
#pragma once
#include <cstdint>
#include <vector>

#include "nn/compute_context.h"
#include "nn/scope.h"

namespace tutti {

class VocabParallelEmbedding {
 public:
  VocabParallelEmbedding(const Scope& scope, int64_t vocab, int64_t width);

  /// Rows of the tokens ([t] i32); each comes from the one rank that has it.
  TensorView operator()(const ComputeContext& ctx,
                        ConstTensorView tokens) const;  // -> [t, width] f32, a residual stream

  /// x times the transposed table, for the ids this rank has: the head of a model, tied or not.
  TensorView logits(const ComputeContext& ctx,
                    ConstTensorView x) const;  // [r, width] -> [r, ids().count] f32

  /// The ids whose rows of the table, and whose logits, this rank has.
  Range ids() const { return rows_; }

 private:
  Param* weight_;
  int64_t width_;
  Range rows_;
};

/// How many ids, and so logits, each of `ranks` ranks has.
std::vector<int64_t> logit_widths(int64_t vocab_size, int ranks);

/// Logits of the whole vocabulary, on every rank, from each rank's part.
struct LogitsGather {
  Communicator& group;
  Arena& arena;     ///< where the result lives
  TensorView part;  ///< [r, VocabParallelEmbedding::ids().count] f32
  int64_t vocab_size = 0;
};

TensorView gather_logits(const LogitsGather& args);  // -> [r, vocab_size] f32

}  // namespace tutti
