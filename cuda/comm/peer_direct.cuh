// Sums of large messages where every rank's memory can be reached: each rank adds up one slice,
// reading it from all ranks, and writes the sums into every rank's x. No mailbox limits the size of
// what travels at once, and two exchanges of words are all that ranks wait for.
#pragma once
#include "cuda/comm/peer_reduce.cuh"

namespace tutti::cuda {

template <class T>
struct DirectReduce {
  using Arguments = PeerReduce;

  __device__ static void run(const PeerReduce& a) {
    PeerTurn turn(a.peer, a.op, a.bytes());
    __shared__ T* x[kMaxPeers];
    if (exchange_addresses(a, turn, x)) {
      const int ranks = a.peer.layout.ranks;
      if (ranks == 2) {
        add_slice<2>(a, x);
      } else if (ranks <= 4) {
        add_slice<4>(a, x);
      } else {
        add_slice<8>(a, x);
      }
      turn.exchange_flags(turn.epoch(), 0);
    }
    turn.finish(1);
  }

 private:
  // Says where this rank's x is, which the kernel ahead has written, and learns where the others'
  // are. One line from each block to its like. False once the group was given up.
  __device__ static bool exchange_addresses(const PeerReduce& a, PeerTurn& turn, T** x) {
    const PeerEndpoint& peer = a.peer;
    const int t = static_cast<int>(threadIdx.x);
    if (t == peer.rank) {
      x[t] = static_cast<T*>(a.x);
    } else if (t < peer.layout.ranks && !turn.gave_up()) {
      const auto own = reinterpret_cast<uintptr_t>(a.x);
      const uint32_t epoch = turn.epoch();
      __threadfence_system();
      store_line(peer.mailbox[t] + peer.layout.line(epoch, peer.rank, blockIdx.x),
                 {{static_cast<unsigned>(own), static_cast<unsigned>(own >> 32U)}},
                 epoch);
      const char* at = peer.mailbox[peer.rank] + peer.layout.line(epoch, t, blockIdx.x);
      const Words<2> theirs = turn.wait_for_line(t, epoch, at, load_line(at));
      __threadfence_system();
      x[t] = reinterpret_cast<T*>(static_cast<uintptr_t>(theirs.w[1]) << 32U | theirs.w[0]);
    }
    return __syncthreads_or(turn.gave_up() ? 1 : 0) == 0;
  }

  // kMost: ranks at most; what a thread has under way is bounded by registers.
  template <int kMost>
  __device__ static void add_slice(const PeerReduce& a, T* const* x) {
    static_assert(kMost <= kMaxPeers);
    const int ranks = a.peer.layout.ranks;
    bool aligned = true;
    for (int p = 0; p < ranks; ++p) {
      aligned = aligned && aligned_to(x[p], 16);
    }
    constexpr int kCount = Stretch<T>::kCount;
    const int64_t vectors = (a.count + kCount - 1) / kCount;
    const int64_t slice = (vectors + ranks - 1) / ranks;
    const int64_t begin = a.peer.rank * slice;
    const int64_t left = vectors - begin;
    const auto part = [&](int p, int64_t v) {
      const int64_t i = (begin + v) * kCount;
      // Read once and written elsewhere, so that no cache near the reader can hold what was before.
      return aligned && i + kCount <= a.count ? load_bulk(reinterpret_cast<const char*>(x[p] + i))
                                              : read_elements<T, 4>(x[p] + i, a.count - i, aligned);
    };
    move_vectors<8 / kMost>(
        left < 0 ? 0 : (left < slice ? left : slice),
        [&](int64_t v) {
          Words<4> parts[kMost];
#pragma unroll
          for (int p = 0; p < kMost; ++p) {
            if (p < ranks) {
              parts[p] = part(p, v);
            }
          }
          SumOf<T, 4> sum;
#pragma unroll
          for (int p = 0; p < kMost; ++p) {
            if (p < ranks) {
              sum.add(parts[p]);
            }
          }
          return sum.words();
        },
        [&](int64_t v, const Words<4>& words) {
          const int64_t i = (begin + v) * kCount;
          for (int step = 0; step < ranks; ++step) {
            const int p = (a.peer.rank + step) % ranks;
            write_elements<T, 4>(x[p] + i, words, a.count - i, aligned);
          }
        });
  }
};

}  // namespace tutti::cuda
