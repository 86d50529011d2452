#include "kv/kv_cache.h"

#include "base/checked.h"

namespace tutti {

int64_t KvLayout::bytes_per_token() const {
  int64_t elements = 0;
  for (const KvLayerLayout& layer : layers) {
    for (const int64_t width : layer.widths) {
      elements += width;
    }
  }
  return elements * dtype_size(dtype);
}

Result<KvCache> KvCache::create(Device& device,
                                const KvLayout& layout,
                                int64_t num_blocks,
                                int64_t block_size) {
  KvCache cache = measuring(layout, num_blocks, block_size);
  for (std::vector<TensorView>& planes : cache.planes_) {
    for (TensorView& plane : planes) {
      TUTTI_TRY(Tensor tensor, Tensor::empty(device, layout.dtype, plane.shape(), "KV cache"));
      plane = tensor.view();
      cache.storage_.push_back(std::move(tensor));
    }
  }
  return cache;
}

KvCache KvCache::measuring(const KvLayout& layout, int64_t num_blocks, int64_t block_size) {
  // Any address but null, which would mean "undefined": nobody reads through it.
  void* nowhere = reinterpret_cast<void*>(uintptr_t{256});
  KvCache cache;
  cache.num_blocks_ = num_blocks;
  cache.block_size_ = block_size;
  for (const KvLayerLayout& layer : layout.layers) {
    std::vector<TensorView>& planes = cache.planes_.emplace_back();
    for (const int64_t width : layer.widths) {
      planes.emplace_back(nowhere, layout.dtype, Shape{num_blocks, block_size, width});
    }
  }
  return cache;
}

TensorView KvCache::plane(int64_t layer, int64_t index) const {
  return planes_[usize(layer)][usize(index)];
}

}  // namespace tutti
