#include "sched/prefix_index.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/checked.h"

namespace tutti {
namespace {

// One multiplication to 128 bits, folded: every input bit reaches every output bit.
uint64_t fold(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64U);
}

constexpr uint64_t kOdd = 0x9E3779B97F4A7C15U;  // 2^64 / golden ratio

}  // namespace

PrefixIndex::PrefixIndex(int64_t total, int64_t block_size, uint64_t seed)
    : block_size_(block_size), seed_(seed) {
  TUTTI_CHECK_GT(block_size, 0);
  // At most half full, so that probes are short.
  const size_t slots = std::bit_ceil(usize(std::max<int64_t>(1, total)) * 2);
  mask_ = slots - 1;
  table_.resize(slots);
  items_.resize(usize(total));
  tokens_.resize(usize(total * block_size));
}

ContentId PrefixIndex::hold_root(const std::string& salt) {
  if (salt.empty()) {
    return kUnsaltedRoot;
  }
  const auto [it, added] = roots_.try_emplace(salt, next_);
  if (added) {
    salts_[next_++].text = salt;
  }
  ++salts_[it->second].holders;
  return it->second;
}

void PrefixIndex::drop_root(ContentId root) {
  const auto it = salts_.find(root);
  if (it != salts_.end() && --it->second.holders == 0) {
    roots_.erase(it->second.text);
    salts_.erase(it);
  }
}

uint64_t PrefixIndex::hash(ContentId parent, std::span<const int32_t> tokens) const {
  uint64_t h = fold(seed_ ^ parent, kOdd);
  size_t i = 0;
  for (; i + 2 <= tokens.size(); i += 2) {
    const uint64_t pair = static_cast<uint64_t>(static_cast<uint32_t>(tokens[i])) |
                          static_cast<uint64_t>(static_cast<uint32_t>(tokens[i + 1])) << 32U;
    h = fold(h ^ pair, kOdd ^ seed_) + i;
  }
  if (i < tokens.size()) {
    h = fold(h ^ static_cast<uint32_t>(tokens[i]), kOdd ^ seed_);
  }
  return fold(h, kOdd);
}

std::span<const int32_t> PrefixIndex::tokens_of(int32_t block) const {
  return std::span(tokens_).subspan(usize(block * block_size_), usize(block_size_));
}

bool PrefixIndex::holds(const Slot& slot,
                        uint64_t hash,
                        ContentId parent,
                        std::span<const int32_t> tokens) const {
  if (slot.hash != static_cast<uint32_t>(hash)) {
    return false;
  }
  const Item& found = item(slot.block);
  return found.hash == hash && found.parent == parent &&
         std::ranges::equal(tokens_of(slot.block), tokens);
}

int32_t PrefixIndex::find(ContentId parent, std::span<const int32_t> tokens) const {
  TUTTI_CHECK_EQ(ssize(tokens.size()), block_size_);
  const uint64_t h = hash(parent, tokens);
  for (size_t slot = home(h); table_[slot].block >= 0; slot = (slot + 1) & mask_) {
    if (holds(table_[slot], h, parent, tokens)) {
      return table_[slot].block;
    }
  }
  return -1;
}

ContentId PrefixIndex::insert(int32_t block, ContentId parent, std::span<const int32_t> tokens) {
  TUTTI_CHECK_EQ(ssize(tokens.size()), block_size_);
  Item& added = item(block);
  int32_t* const stored = tokens_.data() + block * block_size_;
  // Far from each other and from what was touched last: asked for before they are needed.
  __builtin_prefetch(&added, 1);
  __builtin_prefetch(stored, 1);
  const uint64_t h = hash(parent, tokens);
  size_t slot = home(h);
  __builtin_prefetch(&table_[slot], 1);
  TUTTI_CHECK_EQ(added.content, 0U);
  for (; table_[slot].block >= 0; slot = (slot + 1) & mask_) {
    if (holds(table_[slot], h, parent, tokens)) {
      // Two sequences computed the same at the same time. The second block stays out of the index;
      // what follows it is chained to the first.
      return added.content = content(table_[slot].block);
    }
  }
  table_[slot] = {.block = block, .hash = static_cast<uint32_t>(h)};
  added = {.hash = h, .parent = parent, .content = next_++, .listed = true};
  std::ranges::copy(tokens, stored);
  ++size_;
  if (const auto salt = salts_.find(parent); salt != salts_.end()) {
    ++salt->second.holders;
  }
  return added.content;
}

void PrefixIndex::erase(int32_t block) {
  Item& erased = item(block);
  erased.content = 0;
  if (!erased.listed) {
    return;
  }
  erased.listed = false;
  --size_;
  size_t hole = home(erased.hash);
  while (table_[hole].block != block) {
    hole = (hole + 1) & mask_;
  }
  // Linear probing without tombstones: whoever could not sit nearer to its place moves up.
  for (size_t next = (hole + 1) & mask_; table_[next].block >= 0; next = (next + 1) & mask_) {
    if (((next - home(table_[next].hash)) & mask_) >= ((next - hole) & mask_)) {
      table_[hole] = table_[next];
      hole = next;
    }
  }
  table_[hole] = {};
  drop_root(erased.parent);
}

bool PrefixIndex::consistent() const {
  int64_t listed = 0;
  for (int32_t block = 0; block < ssize(items_.size()); ++block) {
    if (contains(block)) {
      ++listed;
      if (content(block) == 0 || find(item(block).parent, tokens_of(block)) != block) {
        return false;
      }
    }
  }
  const auto filled =
      std::ranges::count_if(table_, [](const Slot& slot) { return slot.block >= 0; });
  return listed == size_ && filled == size_;
}

}  // namespace tutti
