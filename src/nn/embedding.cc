#include "nn/embedding.h"

#include <vector>

namespace tutti {

VocabParallelEmbedding::VocabParallelEmbedding(const Scope& scope, int64_t vocab, int64_t width)
    : width_(width), rows_(scope.balanced(vocab, "vocab_size")) {
  ParamSpec spec;
  spec.name = scope.name("weight");
  spec.sources = {{spec.name, vocab, rows_}};
  spec.cols = width;
  spec.take_cols = {0, width};
  spec.dtype = DTypeRule::kDense;  // rows are looked up, and the lookup knows no scales
  weight_ = scope.registry().add(std::move(spec));
}

TensorView VocabParallelEmbedding::operator()(const ComputeContext& ctx,
                                              ConstTensorView tokens) const {
  TensorView y = ctx.alloc_f32({tokens.dim(0), width_});
  ctx.ops.embedding(y, weight_->tensor(), tokens, rows_.begin);
  ctx.parallel.tp.all_reduce_sum(y);
  return y;
}

TensorView VocabParallelEmbedding::logits(const ComputeContext& ctx, ConstTensorView x) const {
  const TensorView part = ctx.alloc_f32({x.dim(0), rows_.count});
  ctx.ops.linear(part, x, weight_->weight(), {});
  return part;
}

std::vector<int64_t> logit_widths(int64_t vocab_size, int ranks) {
  std::vector<int64_t> widths;
  for (int r = 0; r < ranks; ++r) {
    widths.push_back(Partition::balanced_range(vocab_size, r, ranks).count);
  }
  return widths;
}

TensorView gather_logits(const LogitsGather& args) {
  const int ranks = args.group.size();
  if (ranks == 1) {  // nothing to gather, and no copy of a vocabulary per row
    return args.part;
  }
  const TensorView all = args.arena.alloc(DType::kF32, {args.part.dim(0), args.vocab_size});
  args.group.all_gather_columns(all, args.part, logit_widths(args.vocab_size, ranks));
  return all;
}

}  // namespace tutti
