#include "engine/ranks/adjusted_tables.h"

#include "base/checked.h"

namespace tutti {

namespace {

constexpr int64_t kBits = 32;

}  // namespace

int64_t AdjustedTables::device_bytes(int64_t rows, int64_t vocab_size) {
  return rows * (vocab_size + ceil_div(vocab_size, kBits) + kEditWords * kMaxEdits) *
         dtype_size(DType::kI32);
}

Status AdjustedTables::allocate(RankHandles& rank, int64_t rows, int64_t vocab_size) {
  if (rows == 0) {
    return ok_status();
  }
  TUTTI_TRY(seen_, Tensor::empty(rank.device, DType::kI32, {rows, vocab_size}, "tokens seen"));
  TUTTI_TRY(allowed_,
            Tensor::empty(
                rank.device, DType::kI32, {rows, ceil_div(vocab_size, kBits)}, "masks of logits"));
  TUTTI_TRY(
      edits_,
      Tensor::empty(rank.device, DType::kI32, {rows, kMaxEdits, kEditWords}, "biases of logits"));
  return ok_status();
}

Status AdjustedTables::write(RankHandles& rank, const StepPlan& plan) {
  for (const StateWrite& write : plan.state_writes) {
    const Tensor& table = write.table == StateWrite::kSeen      ? seen_
                          : write.table == StateWrite::kAllowed ? allowed_
                                                                : edits_;
    TUTTI_RETURN_IF_ERROR(rank.device.copy_from_host(table.view().at(write.state).raw(),
                                                     plan.state_words.data() + write.begin,
                                                     int64_t{write.count} * ssize(sizeof(int32_t)),
                                                     rank.stream));
  }
  return ok_status();
}

}  // namespace tutti
