// The residual stream: h, equal on all ranks, and what the last block has still to add to it, of
// which each rank has a part. The next norm adds the parts up and to h in passing: one collective,
// and no pass over the stream for the sum alone.
#pragma once
#include "nn/norm.h"

namespace tutti {

class Residual {
 public:
  /// `h`: [t, d] f32. The rest is allocated here and outlives the layers' scratch.
  Residual(const ComputeContext& ctx, TensorView h) : sum_(h), pending_(ctx.alloc(h.shape())) {}

  /// norm(h), [t, d] act, after everything pending has been added.
  TensorView norm(const ComputeContext& ctx, const StreamNorm& norm) {
    if (!has_pending_) {
      return norm(ctx, sum_);
    }
    has_pending_ = false;
    return norm.add_parts(ctx, sum_, pending_);
  }

  /// norm(h + the sum of all ranks' x), [t, d] act; h becomes that sum. `x`: [t, d] act,
  /// contiguous; lost afterwards.
  TensorView add_and_norm(const ComputeContext& ctx, const StreamNorm& norm, TensorView x) const {
    TUTTI_CHECK(!has_pending_);
    return norm.add_parts(ctx, sum_, x);
  }

  /// Where a block writes this rank's part of what is to be added: [t, d] act.
  TensorView add_later() {
    has_pending_ = true;
    return pending_;
  }

  /// norm(h) of some rows ([r] i32), [r, d] act, after everything pending has been added to them;
  /// the others stay behind.
  TensorView norm_rows(const ComputeContext& ctx,
                       const StreamNorm& norm,
                       ConstTensorView rows) const {
    const Shape shape{rows.dim(0), sum_.dim(1)};
    const TensorView sum = ctx.alloc_f32(shape);
    ctx.ops.gather_rows(sum, sum_, rows);
    if (!has_pending_) {
      return norm(ctx, sum);
    }
    const TensorView pending = ctx.alloc(shape);
    ctx.ops.gather_rows(pending, pending_, rows);
    return norm.add_parts(ctx, sum, pending);
  }

 private:
  TensorView sum_;
  TensorView pending_;
  bool has_pending_ = false;
};

}  // namespace tutti
