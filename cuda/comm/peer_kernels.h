// Collectives between the ranks of a group, queued on one rank's stream. All ranks call the same
// ones in the same order; see peer_types.h for how they stay in step.
#pragma once
#include "cuda/comm/peer_types.h"

namespace tutti::cuda {

/// What fits into the lines of one epoch, in bytes per rank.
int64_t flagged_bytes(const MailboxLayout& layout);

cudaError_t peer_all_reduce(const PeerReduce& a, PeerAlgorithm by, cudaStream_t s);

/// Whether the fused kernel takes rows of this width. Its data are flagged.
bool peer_fuses_norm(int64_t width, ElementType type);
cudaError_t peer_all_reduce_add_rms_norm(const PeerReduceNorm& a, cudaStream_t s);

/// `by`: kFlagged or kPush.
cudaError_t peer_gather(const PeerGather& a, PeerAlgorithm by, cudaStream_t s);

/// Words of 4 bytes, pushed.
cudaError_t peer_exchange_rows(const PeerGather& a, cudaStream_t s);

/// Loads the code of all kernels above for groups of `ranks` onto the current device. Loading may
/// wait for the device, where a peer's kernel may be waiting for this rank: so it comes first.
cudaError_t load_peer_kernels(int ranks);

/// All ranks' blocks of a collective in one grid, which needs no streams beside each other: for
/// tools that run one kernel at a time. `ranks`: one entry per rank, of one GPU.
cudaError_t peer_all_reduce_together(const PeerReduce* ranks, PeerAlgorithm by, cudaStream_t s);
cudaError_t peer_all_reduce_add_rms_norm_together(const PeerReduceNorm* ranks, cudaStream_t s);
cudaError_t peer_gather_together(const PeerGather* ranks, PeerAlgorithm by, cudaStream_t s);
cudaError_t peer_exchange_rows_together(const PeerGather* ranks, cudaStream_t s);

}  // namespace tutti::cuda
