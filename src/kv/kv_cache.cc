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
  KvCache cache;
  cache.num_blocks_ = num_blocks;
  cache.block_size_ = block_size;
  for (const KvLayerLayout& layer : layout.layers) {
    std::vector<Tensor>& planes = cache.planes_.emplace_back();
    for (const int64_t width : layer.widths) {
      TUTTI_TRY(Tensor plane,
                Tensor::empty(device, layout.dtype, {num_blocks, block_size, width}, "KV cache"));
      planes.push_back(std::move(plane));
    }
  }
  return cache;
}

TensorView KvCache::plane(int64_t layer, int64_t index) const {
  return planes_[usize(layer)][usize(index)].view();
}

}  // namespace tutti
