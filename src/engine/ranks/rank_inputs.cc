#include "engine/ranks/rank_inputs.h"

#include <algorithm>

#include "base/checked.h"
#include "ops/ops.h"

namespace tutti {

namespace {

constexpr int64_t kDrawWords = sizeof(DrawParams) / sizeof(int32_t);
constexpr int64_t kAdjustWords = sizeof(AdjustParams) / sizeof(int32_t);
constexpr int64_t kUpdateChunk = 4096;  // changed entries of block tables uploaded at once

// Takes one part after another of a tensor of words.
class Parts {
 public:
  explicit Parts(TensorView packed) : packed_(packed) {}

  TensorView next(int64_t count) {
    const TensorView view = packed_.slice(0, used_, count);
    used_ += count;
    return view;
  }

  ~Parts() { TUTTI_CHECK_EQ(used_, packed_.dim(0)); }

 private:
  TensorView packed_;
  int64_t used_ = 0;
};

}  // namespace

DeviceInputs lay_out_inputs(Arena& arena,
                            const StepRows& rows,
                            int64_t table_width,
                            int64_t block_size) {
  DeviceInputs out;
  out.packed = arena.alloc(DType::kI32, {rows.input_words()});
  Parts parts(out.packed);
  // The order of StepPlan::inputs (step_planner.cc, pack).
  out.tokens = parts.next(rows.tokens);
  out.token_rows = parts.next(rows.tokens);
  out.step.positions = parts.next(rows.tokens);
  out.step.kv_places = parts.next(rows.tokens);
  out.step.attention.query_begin = parts.next(rows.sequences + 1);
  out.step.attention.context_before = parts.next(rows.sequences);
  out.step.key_begin = parts.next(rows.sequences + 1);
  out.table_rows = parts.next(rows.sequences);
  out.step.logit_rows = parts.next(rows.logits);
  out.sampled_rows = parts.next(rows.logits);
  if (rows.ropes > 0) {
    out.step.rope_rows = parts.next(rows.ropes);
  }
  out.block_table = arena.alloc(DType::kI32, {rows.sequences, table_width});
  out.step.tokens = out.tokens;
  out.step.attention.block_table = out.block_table;
  out.step.attention.block_size = block_size;
  return out;
}

DeviceSampling lay_out_sampling(Arena& arena, const StepRows& rows) {
  DeviceSampling out;
  out.packed = arena.alloc(DType::kI32, {rows.sampling_words()});
  Parts parts(out.packed);
  // The order of StepPlan::sampling (step_planner.cc, pack).
  out.log_probs = parts.next(rows.log_probs);
  out.draws = parts.next(kDrawWords * rows.draws).reshape({rows.draws, kDrawWords});
  out.adjusted = parts.next(kAdjustWords * rows.adjusted).reshape({rows.adjusted, kAdjustWords});
  out.adjusted_draws = parts.next(kDrawWords * rows.adjusted).reshape({rows.adjusted, kDrawWords});
  return out;
}

int64_t DeviceTables::device_bytes(int64_t slots, int64_t width) {
  return slots * width * dtype_size(DType::kI32);
}

void DeviceTables::borrow(Arena& arena) {
  const Arena::Scope lent(arena);
  arena.alloc(DType::kI32, {2 * kUpdateChunk});
}

Status DeviceTables::allocate(RankHandles& rank, int64_t slots, int64_t width) {
  TUTTI_TRY(device_, Tensor::empty(rank.device, DType::kI32, {slots, width}, "block tables"));
  const std::vector<int32_t> zeros(usize(slots * width), 0);
  return rank.device.copy_from_host(
      device_.view().raw(), zeros.data(), device_bytes(slots, width), rank.stream);
}

Status DeviceTables::update(RankHandles& rank, Arena& arena, const StepPlan& plan) {
  const int64_t all = ssize(plan.table_places.size());
  for (int64_t begin = 0; begin < all; begin += kUpdateChunk) {
    const int64_t count = std::min(kUpdateChunk, all - begin);
    const Arena::Scope lent(arena);  // the stream's order keeps the memory until it has been read
    const TensorView places = arena.alloc(DType::kI32, {count});
    const TensorView blocks = arena.alloc(DType::kI32, {count});
    TUTTI_RETURN_IF_ERROR(rank.device.copy_from_host(
        places.raw(), plan.table_places.data() + begin, places.bytes(), rank.stream));
    TUTTI_RETURN_IF_ERROR(rank.device.copy_from_host(
        blocks.raw(), plan.table_blocks.data() + begin, blocks.bytes(), rank.stream));
    rank.ops.scatter(device_.view().reshape({device_.shape().numel()}), blocks, places);
  }
  return ok_status();
}

}  // namespace tutti
