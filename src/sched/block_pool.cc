#include "sched/block_pool.h"

#include "base/check.h"
#include "base/checked.h"

namespace tutti {

BlockPool::BlockPool(int64_t total, std::optional<PrefixCache> cache) : total_(total) {
  TUTTI_CHECK_GE(total, 0);
  const auto end = narrow<int32_t>(total);
  blocks_.resize(usize(total) + 1, {.refs = 0, .next = end, .previous = end});
  free_.reserve(usize(total));
  for (int64_t block = total - 1; block >= 0; --block) {
    free_.push_back(narrow<int32_t>(block));
  }
  if (cache.has_value()) {
    index_.emplace(total, cache->block_size, cache->seed);
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
    at(block).refs = 1;
    blocks.push_back(block);
  }
  used_ += count;
  return true;
}

void BlockPool::share(int32_t block) {
  if (at(block).refs++ == 0) {
    TUTTI_CHECK(has_cache() && index_->contains(block));
    unlink(block);
    ++used_;
  }
}

void BlockPool::release(std::span<const int32_t> blocks) {
  for (auto it = blocks.rbegin(); it != blocks.rend(); ++it) {
    const int32_t block = *it;
    TUTTI_CHECK_GT(ref_count(block), 0);
    if (--at(block).refs > 0) {
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
  const int32_t block = blocks_.back().next;
  TUTTI_CHECK_LT(block, total());
  unlink(block);
  index_->erase(block);
  ++evictions_;
  return block;
}

void BlockPool::push_recent(int32_t block) {
  Block& end = blocks_.back();
  at(block).next = narrow<int32_t>(total());
  at(block).previous = end.previous;
  at(end.previous).next = block;
  end.previous = block;
}

void BlockPool::unlink(int32_t block) {
  const Block& gone = at(block);
  at(gone.previous).next = gone.next;
  at(gone.next).previous = gone.previous;
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
  std::vector<Place> places(usize(total()), Place::kUsed);
  const auto put = [&](int32_t block, Place place) {
    const bool twice = places[usize(block)] != Place::kUsed;
    const bool found = has_cache() && index_->contains(block);
    places[usize(block)] = place;
    return !twice && ref_count(block) == 0 && found == (place == Place::kCached);
  };
  for (const int32_t block : free_) {
    if (!put(block, Place::kFree)) {
      return error(StatusCode::kInternal,
                   "block {} is free, has {} references or is listed twice or by content",
                   block,
                   ref_count(block));
    }
  }
  int64_t listed = 0;
  for (int32_t block = blocks_.back().next; block < total(); block = at(block).next) {
    ++listed;
    if (!put(block, Place::kCached)) {
      return error(StatusCode::kInternal,
                   "block {} is cached, has {} references or is listed twice or has no content",
                   block,
                   ref_count(block));
    }
  }
  int64_t held = 0;
  for (int32_t block = 0; block < total(); ++block) {
    held += ref_count(block) > 0 ? 1 : 0;
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
