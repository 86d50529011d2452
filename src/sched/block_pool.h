// Which KV blocks are in use, by how many sequences, and which hold content worth keeping. Ids
// only: the storage is KvCache's. Not thread-safe; owned by the engine thread.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "sched/prefix_index.h"

namespace tutti {

class BlockPool {
 public:
  struct PrefixCache {
    int64_t block_size = 16;  ///< tokens per block
    uint64_t seed = 0;        ///< see PrefixIndex
  };

  /// Blocks 0 .. total - 1, all free. total >= 0. Without `cache` released blocks are just free.
  explicit BlockPool(int64_t total, std::optional<PrefixCache> cache = std::nullopt);

  // free + used + cached = total at all times.
  int64_t total() const { return total_; }

  int64_t free() const { return static_cast<int64_t>(free_.size()); }

  int64_t used() const { return used_; }

  /// Blocks nobody holds whose content is kept for reuse; evicted when no block is free.
  int64_t cached() const { return total() - used_ - free(); }

  /// What allocate() can give out.
  int64_t available() const { return total() - used_; }

  /// Appends `count` blocks, each with one reference and no content, to `blocks`; false and no
  /// change at all if fewer are available. Free ones first, then cached ones, those released
  /// longest ago first.
  bool allocate(int64_t count, std::vector<int32_t>& blocks);

  /// One more holder of a block that is used or cached.
  void share(int32_t block);

  /// One holder less for each. A block without holders is cached if it can be found by its content,
  /// else free. Of one call's blocks the last are evicted first: nothing is found behind a gap.
  void release(std::span<const int32_t> blocks);

  int32_t ref_count(int32_t block) const { return at(block).refs; }

  // --- Content; only with a prefix cache --------------------------------------------------------

  bool has_cache() const { return index_.has_value(); }

  ContentId hold_root(const std::string& salt);
  void drop_root(ContentId root);

  /// Appends the longest chain of at most `limit` blocks that hold the beginning of `tokens`. They
  /// are not shared yet.
  void match(ContentId root,
             std::span<const int32_t> tokens,
             int64_t limit,
             std::vector<int32_t>& blocks) const;

  /// The block, which is used, now holds `tokens` (one whole block) after what `before` holds (-1:
  /// after `root`), and will not change until it is released.
  void set_content(int32_t block, int32_t before, ContentId root, std::span<const int32_t> tokens);

  /// The content of these blocks is in doubt: nobody new may find it.
  void forget_content(std::span<const int32_t> blocks);

  uint64_t evictions() const { return evictions_; }

  int64_t salts() const { return has_cache() ? index_->salts() : 0; }

  /// Recounts everything, O(total). For tests; an error is a bug in this class.
  Status check_invariants() const;

 private:
  friend struct BlockPoolPeer;  // tests plant bugs through it

  struct Block {
    int32_t refs = 0;  // 0 = free or cached
    // Cached blocks in order of release: a ring through an end mark at index total.
    int32_t next = 0;
    int32_t previous = 0;
  };

  Block& at(int32_t block) { return blocks_[static_cast<size_t>(block)]; }

  const Block& at(int32_t block) const { return blocks_[static_cast<size_t>(block)]; }

  void push_recent(int32_t block);
  void unlink(int32_t block);
  int32_t evict();

  const int64_t total_;
  std::vector<Block> blocks_;  // and the end mark
  std::vector<int32_t> free_;  // stack, last released is reused first (its memory may be warm)
  std::optional<PrefixIndex> index_;
  int64_t used_ = 0;
  uint64_t evictions_ = 0;
};

}  // namespace tutti
