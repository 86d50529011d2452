// Device storage of keys and values, in blocks of `block_size` tokens, for all layers of one rank.
// Which block belongs to whom is the scheduler's business (sched/block_pool.h).
#pragma once
#include <cstdint>
#include <vector>

#include "device/device.h"

namespace tutti {

/// What one layer stores per token: grouped-query attention two planes (keys, values), MLA one.
struct KvLayerLayout {
  std::vector<int64_t> widths;  ///< elements per token of each plane on this rank
};

struct KvLayout {
  std::vector<KvLayerLayout> layers;
  DType dtype = DType::kF32;

  int64_t bytes_per_token() const;
};

class KvCache {
 public:
  static Result<KvCache> create(Device& device,
                                const KvLayout& layout,
                                int64_t num_blocks,
                                int64_t block_size);

  /// Views of the right shapes without memory behind them, for passes that only measure.
  static KvCache measuring(const KvLayout& layout, int64_t num_blocks, int64_t block_size);

  /// [num_blocks, block_size, width]
  TensorView plane(int64_t layer, int64_t index) const;

  int64_t num_blocks() const { return num_blocks_; }

  int64_t block_size() const { return block_size_; }

 private:
  std::vector<Tensor> storage_;
  std::vector<std::vector<TensorView>> planes_;
  int64_t num_blocks_ = 0;
  int64_t block_size_ = 0;
};

}  // namespace tutti
