// Finds KV blocks by content. The KV of a block depends on its tokens and on everything before
// them, so content is a chain: (content of the block before, tokens). Not thread-safe.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace tutti {

/// Names one chain of full blocks; never used twice, so a name that is gone finds nothing. 0: none.
using ContentId = uint64_t;

/// What every chain begins with that has no salt.
constexpr ContentId kUnsaltedRoot = 1;

/// A hash table over blocks. The hash only says where to look: a hit is confirmed by comparing the
/// parent's name and all tokens, so a collision costs time and never returns other content. Fixed
/// size, no allocation after construction but for salts.
class PrefixIndex {
 public:
  /// Blocks 0 .. total - 1 of `block_size` tokens. `seed` makes the placement unpredictable.
  PrefixIndex(int64_t total, int64_t block_size, uint64_t seed);

  /// The beginning of chains with this salt; call drop_root once for each call. Salts are kept as
  /// long as somebody holds them or a block that begins with them is in the index.
  ContentId hold_root(const std::string& salt);
  void drop_root(ContentId root);

  /// The block in the index with this content, or -1. `tokens` holds one block.
  int32_t find(ContentId parent, std::span<const int32_t> tokens) const;

  /// The name of the content; `block` becomes its holder unless another is already.
  ContentId insert(int32_t block, ContentId parent, std::span<const int32_t> tokens);

  /// The block's content is gone or no longer known to be intact.
  void erase(int32_t block);

  /// Whether find() can return the block.
  bool contains(int32_t block) const { return item(block).listed; }

  /// Name of what the block holds, also if another block is the one that is found; 0 if unknown.
  ContentId content(int32_t block) const { return item(block).content; }

  int64_t block_size() const { return block_size_; }

  int64_t size() const { return size_; }

  int64_t salts() const { return static_cast<int64_t>(salts_.size()); }

  /// Every block in the index is found by its own content, and nothing else is. For tests,
  /// O(total).
  bool consistent() const;

 private:
  friend struct PrefixIndexPeer;  // tests plant a bug through it

  struct Salt {
    std::string text;
    int64_t holders = 0;
  };

  // Together, so that a block costs one access to memory and not four.
  struct Item {
    uint64_t hash = 0;
    ContentId parent = 0;
    ContentId content = 0;
    bool listed = false;  // in the table
  };

  // What a probe looks at: most do not have to go on to the item. Its hash also tells its home.
  struct Slot {
    int32_t block = -1;  // -1 = empty
    uint32_t hash = 0;   // the low half
  };

  uint64_t hash(ContentId parent, std::span<const int32_t> tokens) const;

  size_t home(uint64_t hash) const { return static_cast<uint32_t>(hash) & mask_; }

  Item& item(int32_t block) { return items_[static_cast<size_t>(block)]; }

  const Item& item(int32_t block) const { return items_[static_cast<size_t>(block)]; }

  std::span<const int32_t> tokens_of(int32_t block) const;
  bool holds(const Slot& slot,
             uint64_t hash,
             ContentId parent,
             std::span<const int32_t> tokens) const;

  const int64_t block_size_;
  const uint64_t seed_;
  size_t mask_ = 0;
  int64_t size_ = 0;
  ContentId next_ = kUnsaltedRoot + 1;
  std::vector<Slot> table_;      // by hash, linear probing
  std::vector<Item> items_;      // per block
  std::vector<int32_t> tokens_;  // [total, block_size]
  std::unordered_map<std::string, ContentId> roots_;
  std::unordered_map<ContentId, Salt> salts_;
};

}  // namespace tutti
