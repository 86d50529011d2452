#include "device/arena.h"

#include <algorithm>

namespace tutti {

namespace {

constexpr int64_t kAlignment =
    256;  // one GPU memory transaction group; also covers AVX-512's 64 bytes

}  // namespace

Result<Arena> Arena::create(Device& device, int64_t bytes) {
  Arena arena;
  TUTTI_TRY(arena.buffer_, Buffer::allocate(device, bytes, "activation arena"));
  arena.base_ = static_cast<std::byte*>(arena.buffer_.data());
  arena.capacity_ = arena.buffer_.bytes();
  return arena;
}

Arena Arena::measuring() {
  Arena arena;
  arena.base_ =
      reinterpret_cast<std::byte*>(kAlignment);  // any non-null value: nobody reads through it
  arena.capacity_ = INT64_MAX;
  return arena;
}

TensorView Arena::alloc(DType dtype, const Shape& shape) {
  const int64_t bytes = ceil_div(shape.numel() * dtype_size(dtype), kAlignment) * kAlignment;
  if (bytes > capacity_ - used_) {
    throw ArenaFull(
        fmt::format("the step's activations do not fit their arena of {} bytes: {} are used, {} "
                    "more were wanted; steps of fewer tokens take less",
                    capacity_,
                    used_,
                    bytes));
  }
  void* data = base_ + used_;
  used_ += bytes;
  peak_ = std::max(peak_, used_);
  return {data, dtype, shape};
}

void Arena::resume(int64_t used) {
  TUTTI_CHECK(used >= used_ && used <= capacity_);
  used_ = used;
}

}  // namespace tutti
