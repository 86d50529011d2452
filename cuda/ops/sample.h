// Choosing tokens from logits; contract in ops/ops.h.
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

/// `tokens`: [r].
cudaError_t argmax(int32_t* tokens, const ConstRows& logits, int64_t limit, cudaStream_t s);

/// `best`: [r, 2], see ShardArgmax.
cudaError_t shard_argmax(const TypedRows<float>& best,
                         const ConstRows& logits,
                         int64_t first_id,
                         int64_t limit,
                         cudaStream_t s);

/// `best`: [r, 2 * shards].
cudaError_t merge_argmax(
    int32_t* tokens, const TypedRows<const float>& best, int64_t rows, int shards, cudaStream_t s);

}  // namespace tutti::cuda
