// Which KV blocks are in use, and by how many sequences. Ids only: the storage is KvCache's.
// Not thread-safe; owned by the engine thread.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"

namespace tutti {

class BlockPool {
 public:
  /// Blocks 0 .. total - 1, all free. total >= 0.
  explicit BlockPool(int64_t total);

  // free + used + cached = total at all times.
  int64_t total() const { return static_cast<int64_t>(refs_.size()); }

  int64_t free() const { return static_cast<int64_t>(free_.size()); }

  int64_t used() const { return used_; }

  /// Blocks nobody holds whose content is kept for reuse. Always 0: there is no prefix cache yet.
  int64_t cached() const { return 0; }

  /// Appends `count` blocks, each with one reference, to `blocks`; false and no change at all if
  /// fewer are free.
  bool allocate(int64_t count, std::vector<int32_t>& blocks);

  /// One more holder of a block that is in use.
  void share(int32_t block);

  /// One holder less for each; a block without holders is free.
  void release(std::span<const int32_t> blocks);

  int32_t ref_count(int32_t block) const;

  /// Recounts everything, O(total). For tests; an error is a bug in this class.
  Status check_invariants() const;

 private:
  std::vector<int32_t> refs_;  // per block; 0 = free
  std::vector<int32_t> free_;  // stack, last released is reused first (its memory may be warm)
  int64_t used_ = 0;
};

}  // namespace tutti
