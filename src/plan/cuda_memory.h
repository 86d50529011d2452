// What a rank on a GPU takes beside weights, cache and activations. The plugin knows its part
// exactly (cuda_rank_overhead_bytes() in cuda/cuda_ranks.cc, which is held against these sums where
// it is compiled); plans need it without a GPU.
#pragma once
#include <cstdint>

namespace tutti {

/// Workspaces of matrix products (32 MiB) and of attention (32 MiB and 256 KiB), code of kernels
/// and libraries (128 MiB).
inline constexpr int64_t kCudaWorkspaceBytes =
    ((int64_t{32} + 32 + 128) << 20) + (int64_t{256} << 10);

/// Of collectives over 8 ranks. PeerMailbox.PlansKnowItsSize compares.
inline constexpr int64_t kCudaMailboxBytes = 25'174'536;

inline constexpr int64_t kCudaRankBytes = kCudaWorkspaceBytes + kCudaMailboxBytes;

/// What the driver takes for a process that uses a GPU, before anything is allocated: 500 to 560
/// MiB on GPUs since Ampere. An allowance; loading asks the driver what is free.
inline constexpr int64_t kCudaContextBytes = int64_t{560} << 20;

}  // namespace tutti
