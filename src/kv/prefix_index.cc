#include "kv/prefix_index.h"

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
  table_.assign(slots, -1);
  hashes_.resize(usize(total));
  parents_.resize(usize(total));
  contents_.resize(usize(total), 0);
  listed_.resize(usize(total), false);
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

bool PrefixIndex::holds(int32_t block,
                        uint64_t hash,
                        ContentId parent,
                        std::span<const int32_t> tokens) const {
  return hashes_[usize(block)] == hash && parents_[usize(block)] == parent &&
         std::ranges::equal(tokens_of(block), tokens);
}

int32_t PrefixIndex::find(ContentId parent, std::span<const int32_t> tokens) const {
  TUTTI_CHECK_EQ(ssize(tokens.size()), block_size_);
  const uint64_t h = hash(parent, tokens);
  for (size_t slot = slot_of(h); table_[slot] >= 0; slot = (slot + 1) & mask_) {
    if (holds(table_[slot], h, parent, tokens)) {
      return table_[slot];
    }
  }
  return -1;
}

ContentId PrefixIndex::insert(int32_t block, ContentId parent, std::span<const int32_t> tokens) {
  TUTTI_CHECK_EQ(ssize(tokens.size()), block_size_);
  TUTTI_CHECK_EQ(contents_[usize(block)], 0U);
  const uint64_t h = hash(parent, tokens);
  size_t slot = slot_of(h);
  for (; table_[slot] >= 0; slot = (slot + 1) & mask_) {
    if (holds(table_[slot], h, parent, tokens)) {
      // Two sequences computed the same at the same time. The second block stays out of the index;
      // what follows it is chained to the first.
      return contents_[usize(block)] = contents_[usize(table_[slot])];
    }
  }
  table_[slot] = block;
  hashes_[usize(block)] = h;
  parents_[usize(block)] = parent;
  contents_[usize(block)] = next_++;
  listed_[usize(block)] = true;
  std::ranges::copy(tokens, tokens_.begin() + block * block_size_);
  ++size_;
  if (const auto salt = salts_.find(parent); salt != salts_.end()) {
    ++salt->second.holders;
  }
  return contents_[usize(block)];
}

void PrefixIndex::erase(int32_t block) {
  contents_[usize(block)] = 0;
  if (!listed_[usize(block)]) {
    return;
  }
  listed_[usize(block)] = false;
  --size_;
  size_t hole = slot_of(hashes_[usize(block)]);
  while (table_[hole] != block) {
    hole = (hole + 1) & mask_;
  }
  // Linear probing without tombstones: whoever could not sit nearer to its place moves up.
  for (size_t next = (hole + 1) & mask_; table_[next] >= 0; next = (next + 1) & mask_) {
    const size_t home = slot_of(hashes_[usize(table_[next])]);
    if (((next - home) & mask_) >= ((next - hole) & mask_)) {
      table_[hole] = table_[next];
      hole = next;
    }
  }
  table_[hole] = -1;
  drop_root(parents_[usize(block)]);
}

bool PrefixIndex::contains(int32_t block) const {
  return listed_[usize(block)];
}

ContentId PrefixIndex::content(int32_t block) const {
  return contents_[usize(block)];
}

bool PrefixIndex::consistent() const {
  int64_t listed = 0;
  for (size_t b = 0; b < listed_.size(); ++b) {
    const auto block = static_cast<int32_t>(b);
    if (listed_[b]) {
      ++listed;
      if (contents_[b] == 0 || find(parents_[b], tokens_of(block)) != block) {
        return false;
      }
    }
  }
  const auto filled = std::ranges::count_if(table_, [](int32_t block) { return block >= 0; });
  return listed == size_ && filled == size_;
}

}  // namespace tutti
