// What the kernels of a group of ranks know: each rank's mailbox and how it is laid out, and the
// arguments of each collective. Free of the core's headers.
//
// Epochs. Every collective of a group has a number, its epoch; a message that is cut into pieces
// takes one for each. All ranks call the same collectives, so they agree on epochs without talking.
// A mailbox has two halves, used by even and odd epochs in turn. Two are enough: every collective
// hears from every peer. So once a rank has finished epoch e + 1, each peer has begun it, hence
// has finished reading what came in epoch e, and that half may be written again in epoch e + 2.
// Within one kernel this holds block by block, since block b of all ranks own the same part of
// each piece; between kernels it holds for the whole, since a kernel sends nothing before the one
// ahead of it on its stream has ended.
#pragma once
#include <cstdint>

#include "cuda/ops/launch.h"

namespace tutti::cuda {

inline constexpr int kMaxPeers = 8;        ///< ranks of a group
inline constexpr int kMaxPeerBlocks = 64;  ///< of one collective on one rank

enum class PeerOp : int32_t {
  kAllReduceSum,
  kAllGatherColumns,
  kExchangeRows,
  kBroadcast,
  kAllReduceAddRmsNorm,
};

/// How data travel. kFlagged: every 16 bytes hold 8 of data and twice the epoch, and the receiver
/// polls them. kPush: all data into every peer's mailbox, then a flag. kTwoShot: sums of one part
/// each, which then are gathered.
enum class PeerAlgorithm : int32_t { kFlagged, kPush, kTwoShot };

/// Bytes of one mailbox: lines of flagged data, flags, and room for what flags announce.
struct MailboxLayout {
  int ranks = 0;
  int32_t lines = 0;       ///< per half and sender; the last is a greeting without data
  int64_t bulk_bytes = 0;  ///< per half, a multiple of 32 * ranks

  static constexpr int kLineBytes = 16;
  static constexpr int kStages = 2;

  /// Line `i` from `sender`.
  __host__ __device__ int64_t line(uint32_t epoch, int sender, int64_t i) const {
    return ((static_cast<int64_t>(epoch & 1U) * ranks + sender) * lines + i) * kLineBytes;
  }

  /// The flag by which block `block` of `sender` says that its data are there.
  __host__ __device__ int64_t flag(uint32_t epoch, int stage, int block, int sender) const {
    const int64_t i = (static_cast<int64_t>(epoch & 1U) * kStages + stage) * kMaxPeerBlocks + block;
    return lines_end() + (i * kMaxPeers + sender) * static_cast<int64_t>(sizeof(uint32_t));
  }

  /// Where bulk data begin.
  __host__ __device__ int64_t bulk(uint32_t epoch) const {
    return flags_end() + static_cast<int64_t>(epoch & 1U) * bulk_bytes;
  }

  __host__ __device__ int64_t bytes() const { return flags_end() + 2 * bulk_bytes; }

 private:
  __host__ __device__ int64_t lines_end() const { return int64_t{2} * ranks * lines * kLineBytes; }

  __host__ __device__ int64_t flags_end() const {
    return lines_end() + int64_t{2} * kStages * kMaxPeerBlocks * kMaxPeers *
                             static_cast<int64_t>(sizeof(uint32_t));
  }
};

/// In the memory of the rank's GPU, where only the rank's own kernels look.
struct PeerLocal {
  uint32_t epochs[kMaxPeerBlocks];  ///< what each block has finished; equal between kernels
  uint32_t aborted;                 ///< nothing more is sent or waited for
  uint32_t claimed;                 ///< the rank's failure is being written
};

/// Written by the first wait of a rank that takes too long.
struct PeerFailure {
  uint32_t written = 0;
  PeerOp op = PeerOp::kAllReduceSum;
  int32_t rank = 0;
  int32_t peer = 0;
  uint32_t epoch = 0;
  int64_t bytes = 0;  ///< of the collective, on this rank
  int64_t waited_ns = 0;
  uint64_t at_ns = 0;  ///< on the GPU's clock
};

/// In pinned host memory, seen by all ranks and the host.
struct PeerShared {
  uint32_t aborted = 0;  ///< nobody waits any more
  PeerFailure failures[kMaxPeers];
};

/// A rank's view of its group. Equal on all ranks but for `rank` and `local`.
struct PeerEndpoint {
  char* mailbox[kMaxPeers] = {};  ///< of every rank, as this rank's GPU addresses them
  PeerLocal* local = nullptr;
  PeerShared* shared = nullptr;
  int64_t timeout_ns = 0;
  MailboxLayout layout;
  int rank = 0;
  int max_blocks = 1;   ///< so many blocks of every rank on a GPU can wait there together
  bool alone = false;   ///< no GPU has two ranks: what is queued here keeps nobody waited for out
  bool direct = false;  ///< kernels may use the memory of every rank's GPU
};

/// x = sum over ranks of x.
struct PeerReduce {
  PeerEndpoint peer;
  PeerOp op = PeerOp::kAllReduceSum;
  void* x = nullptr;  ///< [count], any alignment of an element
  int64_t count = 0;
  ElementType type = ElementType::kF32;  ///< or kBF16

  __host__ __device__ int64_t bytes() const { return count * (type == ElementType::kF32 ? 4 : 2); }
};

/// residual += sum over ranks of x; y = norm of residual. See AllReduceAddRmsNorm.
struct PeerReduceNorm {
  PeerReduce x;       ///< [rows, width]
  TypedRows<void> y;  ///< of x's type
  TypedRows<float> residual;
  const float* weight = nullptr;  ///< [width]
  float eps = 0;
  int64_t rows = 0;
  int64_t width = 0;
};

/// out[:, offset[r] : offset[r] + width[r]] = in of rank r, bits as they are. A broadcast is the
/// case of one rank with a width. Where rows are exchanged, `out` has this rank's share of them.
struct PeerGather {
  PeerEndpoint peer;
  PeerOp op = PeerOp::kAllGatherColumns;
  int element_bytes = 4;  ///< 4 or 1
  const void* in = nullptr;
  int64_t in_stride = 0;
  void* out = nullptr;  ///< equal to `in`: this rank's own columns are there already
  int64_t out_stride = 0;
  int64_t rows = 0;
  int64_t width[kMaxPeers] = {};  ///< elements
  int64_t offset[kMaxPeers] = {};

  __host__ __device__ int64_t elements(int sender) const { return rows * width[sender]; }

  /// The most that one rank sends.
  __host__ __device__ int64_t bytes() const {
    int64_t most = 0;
    for (const int64_t w : width) {
      most = w > most ? w : most;
    }
    return rows * most * element_bytes;
  }

  /// Where rows are exchanged: the first of rank `p`'s, or their end for p + 1.
  __host__ __device__ int64_t share_begin(int p) const { return rows * p / peer.layout.ranks; }

  __host__ __device__ int64_t share_rows(int p) const {
    return share_begin(p + 1) - share_begin(p);
  }

  /// The most that one rank then sends to another.
  __host__ __device__ int64_t share_bytes() const {
    const int64_t ranks = peer.layout.ranks;
    return rows == 0 ? 0 : bytes() / rows * ((rows + ranks - 1) / ranks);
  }
};

}  // namespace tutti::cuda
