// Turns a Batch into the device tensors a forward pass reads.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "backend/rank_group.h"
#include "device/arena.h"
#include "nn/step_context.h"
#include "sched/batch.h"

namespace tutti {

/// The block tables of all slots, kept up to date by what each batch says has changed.
class BlockTables {
 public:
  void update(const Batch& batch);

  std::span<const int32_t> of(int32_t slot) const { return tables_[static_cast<size_t>(slot)]; }

 private:
  std::vector<std::vector<int32_t>> tables_;  // by slot
};

/// One step's inputs in host memory; see StepInputs for what they mean. Reused.
struct HostInputs {
  std::vector<int32_t> tokens;
  std::vector<int32_t> slots;
  std::vector<int32_t> rope_rows;  // empty if the model has one set of frequencies
  std::vector<int32_t> query_begin;
  std::vector<int32_t> context_before;
  std::vector<int32_t> key_begin;
  std::vector<int32_t> block_table;  // [sequences, table_width]
  int64_t table_width = 1;
  int64_t max_queries = 0;
  int64_t max_keys = 0;
  std::vector<int32_t> logit_rows;
};

/// Fills `out`, all but logit_rows. `long_rope_from` is the model's (CausalLmInfo). `sampled` is
/// the last token of each slot, for kSampledToken. `tables` must be up to date with the batch.
void fill_host_inputs(const Batch& batch,
                      const BlockTables& tables,
                      std::span<const int32_t> sampled,
                      int64_t block_size,
                      int64_t long_rope_from,
                      HostInputs& out);

/// Allocates the tensors from `arena`, where they live until its next reset. `host` may change
/// afterwards.
Result<StepInputs> make_step_inputs(RankContext& rank,
                                    Arena& arena,
                                    const Batch& batch,
                                    const HostInputs& host,
                                    int64_t block_size);

}  // namespace tutti
