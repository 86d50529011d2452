#include "kv/block_pool.h"

#include "base/check.h"
#include "base/checked.h"

namespace tutti {

BlockPool::BlockPool(int64_t total) {
  TUTTI_CHECK_GE(total, 0);
  refs_.resize(usize(total), 0);
  free_.reserve(usize(total));
  for (int64_t block = total - 1; block >= 0; --block) {
    free_.push_back(narrow<int32_t>(block));
  }
}

bool BlockPool::allocate(int64_t count, std::vector<int32_t>& blocks) {
  TUTTI_CHECK_GE(count, 0);
  if (count > free()) {
    return false;
  }
  for (int64_t i = 0; i < count; ++i) {
    const int32_t block = free_.back();
    free_.pop_back();
    refs_[usize(block)] = 1;
    blocks.push_back(block);
  }
  used_ += count;
  return true;
}

void BlockPool::share(int32_t block) {
  TUTTI_CHECK_GT(ref_count(block), 0);
  ++refs_[usize(block)];
}

void BlockPool::release(std::span<const int32_t> blocks) {
  for (const int32_t block : blocks) {
    TUTTI_CHECK_GT(ref_count(block), 0);
    if (--refs_[usize(block)] == 0) {
      free_.push_back(block);
      --used_;
    }
  }
}

int32_t BlockPool::ref_count(int32_t block) const {
  TUTTI_CHECK_GE(block, 0);
  TUTTI_CHECK_LT(block, total());
  return refs_[usize(block)];
}

Status BlockPool::check_invariants() const {
  std::vector<bool> is_free(refs_.size(), false);
  for (const int32_t block : free_) {
    if (is_free[usize(block)] || refs_[usize(block)] != 0) {
      return error(StatusCode::kInternal,
                   "block {} is free {} and has {} references",
                   block,
                   is_free[usize(block)] ? "twice" : "once",
                   refs_[usize(block)]);
    }
    is_free[usize(block)] = true;
  }
  int64_t held = 0;
  for (const int32_t refs : refs_) {
    held += refs > 0 ? 1 : 0;
  }
  if (held != used_ || free() + used() + cached() != total()) {
    return error(StatusCode::kInternal,
                 "{} free + {} used (counted {}) + {} cached, total {}",
                 free(),
                 used(),
                 held,
                 cached(),
                 total());
  }
  return ok_status();
}

}  // namespace tutti
