// What the sampler keeps about the sequence in each slot, from when it joins until another does.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/checked.h"
#include "sched/batch.h"

namespace tutti {

class SamplerRows {
 public:
  /// Before the batch's rows are sampled.
  void join(const Batch& batch) {
    for (const BatchJoin& join : batch.joins) {
      rows_.resize(std::max(rows_.size(), usize(join.slot) + 1));
      tenants_.resize(rows_.size());
      rows_[usize(join.slot)] = join.row;
      ++tenants_[usize(join.slot)];
    }
  }

  /// The row at its place in the output.
  const SampleRow& at(const BatchSequence& sequence) {
    SampleRow& row = rows_[usize(sequence.slot)];
    row.output_position = sequence.output_position;
    return row;
  }

  /// The row of the slot's sequence; its output_position is of no meaning.
  const SampleRow& of_slot(int32_t slot) const { return rows_[usize(slot)]; }

  /// Tells the sequences that come to be in a slot apart.
  uint64_t occupant(int32_t slot) const { return tenants_[usize(slot)]; }

  /// A token was sampled for the slot.
  void took(int32_t slot, int32_t token) {
    SampleRow& row = rows_[usize(slot)];
    if (row.reads_output()) {
      row.output_tokens.push_back(token);
    }
  }

 private:
  std::vector<SampleRow> rows_;    // by slot
  std::vector<uint64_t> tenants_;  // by slot
};

}  // namespace tutti
