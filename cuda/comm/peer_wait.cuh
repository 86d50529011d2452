// Loads and stores that other GPUs take part in, and waiting that ends: by arrival, by time-out, or
// because the group was given up.
#pragma once
#include "cuda/comm/peer_types.h"
#include "cuda/ops/overlap.cuh"

namespace tutti::cuda {

/// kWords 32-bit words that travel together: 2 in a line of flagged data, 4 in bulk.
template <int kWords>
struct alignas(kWords * 4) Words {
  unsigned w[kWords];
};

/// One store. Only 8 bytes of it need to become visible together, so each half has the epoch.
__device__ __forceinline__ void store_line(char* to, const Words<2>& data, uint32_t epoch) {
  asm volatile("st.volatile.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to),
               "r"(data.w[0]),
               "r"(epoch),
               "r"(data.w[1]),
               "r"(epoch)
               : "memory");
}

__device__ __forceinline__ uint4 load_line(const char* from) {
  uint4 line;
  asm volatile("ld.volatile.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(line.x), "=r"(line.y), "=r"(line.z), "=r"(line.w)
               : "l"(from)
               : "memory");
  return line;
}

__device__ __forceinline__ bool has_epoch(const uint4& line, uint32_t epoch) {
  return line.y == epoch && line.w == epoch;
}

__device__ __forceinline__ void store_bulk(char* to, const Words<4>& data) {
  *reinterpret_cast<Words<4>*>(to) = data;
}

/// Behind a flag that was waited for. Not through the first-level cache, which may still hold what
/// lay there two epochs ago.
__device__ __forceinline__ Words<4> load_bulk(const char* from) {
  const uint4 bits = load_line(from);
  return {{bits.x, bits.y, bits.z, bits.w}};
}

__device__ __forceinline__ void store_flag(char* to, uint32_t epoch) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(to), "r"(epoch) : "memory");
}

__device__ __forceinline__ uint32_t load_flag(const char* from) {
  uint32_t flag;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(flag) : "l"(from) : "memory");
  return flag;
}

__device__ __forceinline__ uint64_t nanoseconds() {
  uint64_t now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

struct PeerWait {
  PeerOp op;
  int sender;
  uint32_t epoch;
  int64_t bytes;
  uint64_t begun;
};

/// Whether to stop waiting. The first to wait too long says so to all ranks and to the host.
inline __device__ __noinline__ bool is_over(const PeerEndpoint& peer, PeerWait wait) {
  const uint64_t now = nanoseconds();
  const bool over = *const_cast<volatile uint32_t*>(&peer.shared->aborted) != 0;
  if (!over && now - wait.begun <= static_cast<uint64_t>(peer.timeout_ns)) {
    return false;
  }
  *const_cast<volatile uint32_t*>(&peer.local->aborted) = 1;
  if (!over && atomicCAS(&peer.local->claimed, 0U, 1U) == 0U) {
    volatile PeerFailure& failure = peer.shared->failures[peer.rank];
    failure.op = wait.op;
    failure.rank = peer.rank;
    failure.peer = wait.sender;
    failure.epoch = wait.epoch;
    failure.bytes = wait.bytes;
    failure.waited_ns = static_cast<int64_t>(now - wait.begun);
    failure.at_ns = now;
    __threadfence_system();
    failure.written = 1;
    __threadfence_system();
    *const_cast<volatile uint32_t*>(&peer.shared->aborted) = 1;
  }
  return true;
}

/// One block's part in one collective, on one rank. Every thread has its own copy, and every thread
/// comes to finish().
class PeerTurn {
 public:
  /// Waits for the kernel ahead. `bytes`: of the collective, for the report of a failure.
  __device__ PeerTurn(const PeerEndpoint& peer, PeerOp op, int64_t bytes)
      : peer_(peer), op_(op), bytes_(bytes) {
    wait_for_previous_kernel();
    first_ = *const_cast<volatile uint32_t*>(&peer.local->epochs[blockIdx.x]) + 1;
    gave_up_ = *const_cast<volatile uint32_t*>(&peer.local->aborted) != 0;
  }

  /// Of piece `piece`. A stale flag could be mistaken for it after 2^32 collectives exactly.
  __device__ uint32_t epoch(int64_t piece = 0) const {
    return first_ + static_cast<uint32_t>(piece);
  }

  /// The group was given up: nothing that arrives matters any more.
  __device__ bool gave_up() const { return gave_up_; }

  /// Until ready(), or until the group is given up.
  template <class Ready>
  __device__ __forceinline__ void wait_for(int sender, uint32_t epoch, const Ready& ready) {
    uint32_t polls = 0;
    uint64_t begun = 0;
    while (!gave_up_ && !ready()) {
      // The clock, and a word in the host's memory: too slow to look at with every poll.
      if (++polls % kPollsPerCheck == 0) {
        begun = begun == 0 ? nanoseconds() : begun;
        gave_up_ = is_over(peer_, {op_, sender, epoch, bytes_, begun});
      }
    }
  }

  /// The line from `sender`, once it has arrived. `line`: what a first load saw.
  __device__ __forceinline__ Words<2> wait_for_line(int sender,
                                                    uint32_t epoch,
                                                    const char* at,
                                                    uint4 line) {
    if (!has_epoch(line, epoch)) {
      wait_for(sender, epoch, [&] {
        line = load_line(at);
        return has_epoch(line, epoch);
      });
    }
    return {{line.x, line.z}};
  }

  /// Tells all peers that what this block wrote for `stage` is there, and waits for the same from
  /// all of them. False once the group was given up, on all threads of the block alike.
  __device__ bool exchange_flags(uint32_t epoch, int stage) {
    const int t = static_cast<int>(threadIdx.x);
    const int block = static_cast<int>(blockIdx.x);
    __syncthreads();  // the release below covers what all threads of the block wrote
    if (t < peer_.layout.ranks && t != peer_.rank) {
      store_flag(peer_.mailbox[t] + peer_.layout.flag(epoch, stage, block, peer_.rank), epoch);
      const char* flag = peer_.mailbox[peer_.rank] + peer_.layout.flag(epoch, stage, block, t);
      wait_for(t, epoch, [&] { return load_flag(flag) == epoch; });
    }
    return __syncthreads_or(gave_up_ ? 1 : 0) == 0;
  }

  /// All that the block has to send is on its way. On a GPU of its own the rank's next kernel may
  /// take its place from here on: a product then fetches its weights while this one waits. (Sooner,
  /// and those would be in the way of what is sent: 5.3 us instead of 2.6 from sending to the end.)
  __device__ void sent() const {
    if (peer_.alone) {
      let_next_kernel_start();
    }
  }

  /// Ends the block's part: nothing is waited for any more, so the next kernel may take its place.
  /// (Where ranks share a GPU: had it come sooner, it could keep out the peer's kernel that this
  /// one waits for.) Counters that no block of this launch reads advance as well, so that launches
  /// of different sizes stay in step.
  __device__ void finish(int64_t pieces) {
    __syncthreads();  // every thread has read the counter
    let_next_kernel_start();
    for (unsigned b = blockIdx.x + threadIdx.x * gridDim.x; b < kMaxPeerBlocks;
         b += gridDim.x * blockDim.x) {
      peer_.local->epochs[b] = epoch(pieces) - 1;
    }
  }

 private:
  static constexpr uint32_t kPollsPerCheck = 256;

  const PeerEndpoint& peer_;
  PeerOp op_;
  int64_t bytes_;
  uint32_t first_ = 0;
  bool gave_up_ = false;
};

/// The peer that is `step` places behind `rank`: ranks begin with different receivers.
__device__ __forceinline__ int peer_after(const PeerEndpoint& peer, int step) {
  const int p = peer.rank + step;
  return p < peer.layout.ranks ? p : p - peer.layout.ranks;
}

/// store(v, load(v)) for all v of this block in [0, count), in strides of the grid; several loads
/// are under way at once.
template <int kAhead = 4, class Load, class Store>
__device__ __forceinline__ void move_vectors(int64_t count, const Load& load, const Store& store) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t v = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; v < count;
       v += kAhead * stride) {
    Words<4> words[kAhead];
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      if (v + u * stride < count) {
        words[u] = load(v + u * stride);
      }
    }
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      if (v + u * stride < count) {
        store(v + u * stride, words[u]);
      }
    }
  }
}

}  // namespace tutti::cuda
