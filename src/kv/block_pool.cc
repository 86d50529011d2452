#include "kv/block_pool.h"

#include <ranges>

#include "base/check.h"
#include "base/checked.h"

namespace tutti {

BlockPool::BlockPool(int64_t total, std::optional<PrefixCache> cache) {
  TUTTI_CHECK_GE(total, 0);
  refs_.resize(usize(total), 0);
  free_.reserve(usize(total));
  for (int64_t block = total - 1; block >= 0; --block) {
    free_.push_back(narrow<int32_t>(block));
  }
  if (cache.has_value()) {
    index_.emplace(total, cache->block_size, cache->seed);
    next_.resize(usize(total) + 1, narrow<int32_t>(total));
    previous_.resize(usize(total) + 1, narrow<int32_t>(total));
  }
}

bool BlockPool::allocate(int64_t count, std::vector<int32_t>& blocks) {
  TUTTI_CHECK_GE(count, 0);
  if (count > available()) {
    return false;
  }
  for (int64_t i = 0; i < count; ++i) {
    int32_t block = 0;
    if (free_.empty()) {
      block = evict();
    } else {
      block = free_.back();
      free_.pop_back();
    }
    refs_[usize(block)] = 1;
    blocks.push_back(block);
  }
  used_ += count;
  return true;
}

void BlockPool::share(int32_t block) {
  if (refs_[usize(block)]++ == 0) {
    TUTTI_CHECK(has_cache() && index_->contains(block));
    unlink(block);
    ++used_;
  }
}

void BlockPool::release(std::span<const int32_t> blocks) {
  for (const int32_t block : std::views::reverse(blocks)) {
    TUTTI_CHECK_GT(ref_count(block), 0);
    if (--refs_[usize(block)] > 0) {
      continue;
    }
    --used_;
    if (has_cache() && index_->contains(block)) {
      push_recent(block);
    } else {
      if (has_cache()) {
        index_->erase(block);
      }
      free_.push_back(block);
    }
  }
}

int32_t BlockPool::evict() {
  const int32_t block = next_.back();
  TUTTI_CHECK_LT(block, total());
  unlink(block);
  index_->erase(block);
  ++evictions_;
  return block;
}

void BlockPool::push_recent(int32_t block) {
  const auto end = narrow<int32_t>(total());
  const int32_t last = previous_.back();
  next_[usize(last)] = block;
  previous_[usize(block)] = last;
  next_[usize(block)] = end;
  previous_.back() = block;
}

void BlockPool::unlink(int32_t block) {
  next_[usize(previous_[usize(block)])] = next_[usize(block)];
  previous_[usize(next_[usize(block)])] = previous_[usize(block)];
}

ContentId BlockPool::hold_root(const std::string& salt) {
  return has_cache() ? index_->hold_root(salt) : 0;
}

void BlockPool::drop_root(ContentId root) {
  if (has_cache()) {
    index_->drop_root(root);
  }
}

void BlockPool::match(ContentId root,
                      std::span<const int32_t> tokens,
                      int64_t limit,
                      std::vector<int32_t>& blocks) const {
  const size_t size = usize(index_->block_size());
  ContentId parent = root;
  for (int64_t i = 0; i < limit; ++i) {
    const int32_t block = index_->find(parent, tokens.subspan(usize(i) * size, size));
    if (block < 0) {
      return;
    }
    blocks.push_back(block);
    parent = index_->content(block);
  }
}

void BlockPool::set_content(int32_t block,
                            int32_t before,
                            ContentId root,
                            std::span<const int32_t> tokens) {
  TUTTI_CHECK_GT(ref_count(block), 0);
  const ContentId parent = before < 0 ? root : index_->content(before);
  if (parent != 0) {  // else what comes before is in doubt, and so is this
    index_->insert(block, parent, tokens);
  }
}

void BlockPool::forget_content(std::span<const int32_t> blocks) {
  for (const int32_t block : blocks) {
    TUTTI_CHECK_GT(ref_count(block), 0);
    if (has_cache()) {
      index_->erase(block);
    }
  }
}

Status BlockPool::check_invariants() const {
  enum class Place { kUsed, kFree, kCached };
  std::vector<Place> places(refs_.size(), Place::kUsed);
  const auto put = [&](int32_t block, Place place) {
    const bool twice = places[usize(block)] != Place::kUsed;
    const bool found = has_cache() && index_->contains(block);
    places[usize(block)] = place;
    return !twice && refs_[usize(block)] == 0 && found == (place == Place::kCached);
  };
  for (const int32_t block : free_) {
    if (!put(block, Place::kFree)) {
      return error(StatusCode::kInternal,
                   "block {} is free, has {} references or is listed twice or by content",
                   block,
                   refs_[usize(block)]);
    }
  }
  int64_t listed = 0;
  for (int32_t block = has_cache() ? next_.back() : 0; has_cache() && block < total();
       block = next_[usize(block)]) {
    ++listed;
    if (!put(block, Place::kCached)) {
      return error(StatusCode::kInternal,
                   "block {} is cached, has {} references or is listed twice or has no content",
                   block,
                   refs_[usize(block)]);
    }
  }
  int64_t held = 0;
  for (const int32_t refs : refs_) {
    held += refs > 0 ? 1 : 0;
  }
  if (held != used_ || listed != cached()) {
    return error(StatusCode::kInternal,
                 "{} free + {} used (counted {}) + {} cached (counted {}), total {}",
                 free(),
                 used(),
                 held,
                 cached(),
                 listed,
                 total());
  }
  if (has_cache() && !index_->consistent()) {
    return error(StatusCode::kInternal, "the prefix index does not find what it holds");
  }
  return ok_status();
}

}  // namespace tutti
