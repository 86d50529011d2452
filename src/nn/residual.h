// The residual stream: h, and what the last block has still to add to it. The next norm adds it in
// passing, so that no pass over the stream is spent on the sum alone.
#pragma once
#include "nn/norm.h"

namespace tutti {

class Residual {
 public:
  /// `h`: [t, d] f32. The rest is allocated here and outlives the layers' scratch.
  Residual(const StepContext& ctx, TensorView h) : sum_(h), pending_(ctx.alloc(h.shape())) {}

  /// norm(h) after everything pending has been added.
  TensorView norm(const StepContext& ctx, const RmsNorm& norm) {
    if (!has_pending_) {
      return norm(ctx, sum_);
    }
    has_pending_ = false;
    return norm.add(ctx, sum_, pending_);
  }

  /// norm(h + x); h becomes the sum.
  TensorView add_and_norm(const StepContext& ctx, const RmsNorm& norm, ConstTensorView x) const {
    TUTTI_CHECK(!has_pending_);
    return norm.add(ctx, sum_, x);
  }

  /// Where a block writes what is to be added: [t, d] act.
  TensorView add_later() {
    has_pending_ = true;
    return pending_;
  }

  /// norm(h) of some rows, after everything pending has been added to them; the others stay behind.
  TensorView norm_rows(const StepContext& ctx, const RmsNorm& norm, ConstTensorView rows) const {
    const Shape shape{rows.dim(0), sum_.dim(1)};
    const TensorView sum = ctx.alloc_f32(shape);
    ctx.ops.gather_rows(sum, sum_, rows);
    if (!has_pending_) {
      return norm(ctx, sum);
    }
    const TensorView pending = ctx.alloc(shape);
    ctx.ops.gather_rows(pending, pending_, rows);
    return norm.add(ctx, sum, pending);
  }

 private:
  TensorView sum_;
  TensorView pending_;
  bool has_pending_ = false;
};

}  // namespace tutti
