// Sums over ranks, by the three ways that data travel. All add f32 in the order of ranks and round
// once, so every rank gets the same bits whichever way was taken.
//
// A body is a struct with run(), so that the same code is launched by a rank on its own stream or,
// for tools that cannot follow several streams, for all ranks in one grid.
#pragma once
#include "cuda/comm/peer_elements.cuh"

namespace tutti::cuda {

/// Flagged data: lines of 8 bytes. `kMost`: ranks at most; fewer are fewer instructions between
/// arrival and result.
template <class T, int kMost>
class FlaggedLines {
  static_assert(kMost <= kMaxPeers);

 public:
  static constexpr int kCount = kPer<T, 2>;

  __device__ FlaggedLines(const PeerReduce& a, PeerTurn& turn)
      : peer_(a.peer),
        turn_(turn),
        x_(static_cast<T*>(a.x)),
        count_(a.count),
        aligned_(aligned_to(a.x, 8)) {}

  __device__ __forceinline__ Words<2> own(int64_t i) const {
    return read_elements<T, 2>(x_ + i * kCount, count_ - i * kCount, aligned_);
  }

  /// own(i) to all peers.
  __device__ __forceinline__ void send(int64_t i, const Words<2>& own) const {
    const int64_t at = peer_.layout.line(turn_.epoch(), peer_.rank, i);
    for (int step = 1; step < peer_.layout.ranks; ++step) {
      store_line(peer_.mailbox[peer_after(peer_, step)] + at, own, turn_.epoch());
    }
  }

  /// The sum of line `i` over all ranks; `own`: this rank's.
  __device__ __forceinline__ SumOf<T, 2> receive(int64_t i, const Words<2>& own) {
    const char* mail = peer_.mailbox[peer_.rank];
    uint4 lines[kMost];
#pragma unroll
    for (int p = 0; p < kMost; ++p) {  // all loads are under way before the first is needed
      if (p < peer_.layout.ranks && p != peer_.rank) {
        lines[p] = load_line(mail + peer_.layout.line(turn_.epoch(), p, i));
      }
    }
    SumOf<T, 2> sum;
#pragma unroll
    for (int p = 0; p < kMost; ++p) {
      if (p == peer_.rank) {
        sum.add(own);
      } else if (p < peer_.layout.ranks) {
        const char* at = mail + peer_.layout.line(turn_.epoch(), p, i);
        sum.add(turn_.wait_for_line(p, turn_.epoch(), at, lines[p]));
      }
    }
    return sum;
  }

  __device__ __forceinline__ void write(int64_t i, const SumOf<T, 2>& sum) const {
    write_elements<T, 2>(x_ + i * kCount, sum.words(), count_ - i * kCount, aligned_);
  }

 private:
  const PeerEndpoint& peer_;
  PeerTurn& turn_;
  T* x_;
  int64_t count_;
  bool aligned_;
};

template <class T, int kMost>
struct FlaggedReduce {
  using Arguments = PeerReduce;
  static constexpr int kHeld = 2;  ///< lines that a thread keeps in registers

  __device__ static void run(const PeerReduce& a) {
    PeerTurn turn(a.peer, a.op, a.bytes());
    using Lines = FlaggedLines<T, kMost>;
    Lines lines(a, turn);
    const int64_t count = (a.count + Lines::kCount - 1) / Lines::kCount;
    const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
    const int64_t begin = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    // Loads of x are under way before the first look at the turn, which comes from as far.
    Words<2> held[kHeld];
#pragma unroll
    for (int g = 0; g < kHeld; ++g) {
      if (begin + g * stride < count) {
        held[g] = lines.own(begin + g * stride);
      }
    }
    if (!turn.gave_up()) {
#pragma unroll
      for (int g = 0; g < kHeld; ++g) {
        if (begin + g * stride < count) {
          lines.send(begin + g * stride, held[g]);
        }
      }
      for (int64_t i = begin + kHeld * stride; i < count; i += stride) {
        lines.send(i, lines.own(i));
      }
      turn.sent();
#pragma unroll
      for (int g = 0; g < kHeld; ++g) {
        const int64_t i = begin + g * stride;
        if (i < count) {
          lines.write(i, lines.receive(i, held[g]));
        }
      }
      for (int64_t i = begin + kHeld * stride; i < count; i += stride) {
        lines.write(i, lines.receive(i, lines.own(i)));
      }
    }
    turn.finish(1);
  }
};

/// A stretch of x in vectors of 16 bytes.
template <class T>
struct Stretch {
  static constexpr int kCount = kPer<T, 4>;
  T* x;
  int64_t count;  ///< elements
  bool aligned;

  __device__ int64_t vectors() const { return (count + kCount - 1) / kCount; }

  __device__ __forceinline__ Words<4> read(int64_t v) const {
    return read_elements<T, 4>(x + v * kCount, count - v * kCount, aligned);
  }

  __device__ __forceinline__ void write(int64_t v, const Words<4>& words) const {
    write_elements<T, 4>(x + v * kCount, words, count - v * kCount, aligned);
  }

  /// [begin, begin + most), as far as it exists.
  __device__ Stretch part(int64_t begin, int64_t most) const {
    const int64_t left = count - begin;
    return {x + begin, left < 0 ? 0 : (left < most ? left : most), aligned};
  }

  /// The sum over ranks of vector `v`, where what came from rank p lies `slot * p` bytes behind
  /// `mail`.
  __device__ __forceinline__ Words<4> sum(int64_t v,
                                          const char* mail,
                                          int64_t slot,
                                          const PeerEndpoint& peer) const {
    SumOf<T, 4> sum;
    const Words<4> own = read(v);
#pragma unroll
    for (int p = 0; p < kMaxPeers; ++p) {
      if (p < peer.layout.ranks) {
        sum.add(p == peer.rank ? own : load_bulk(mail + p * slot + v * 16));
      }
    }
    return sum.words();
  }
};

template <class T>
__device__ __forceinline__ Stretch<T> whole(const PeerReduce& a) {
  return {static_cast<T*>(a.x), a.count, aligned_to(a.x, 16)};
}

/// Bytes of each of `parts` equal parts of one half of a mailbox, in whole vectors.
__device__ __forceinline__ int64_t slot_bytes(const MailboxLayout& layout, int parts) {
  return layout.bulk_bytes / parts / 16 * 16;
}

template <class T>
struct PushReduce {
  using Arguments = PeerReduce;

  __device__ static void run(const PeerReduce& a) {
    PeerTurn turn(a.peer, a.op, a.bytes());
    const PeerEndpoint& peer = a.peer;
    const int64_t slot = slot_bytes(peer.layout, peer.layout.ranks);
    const int64_t most = slot / static_cast<int64_t>(sizeof(T));
    int64_t pieces = 0;
    bool sound = !turn.gave_up();
    for (int64_t done = 0; done < a.count; done += most, ++pieces) {
      if (!sound) {
        continue;  // only counts
      }
      const Stretch<T> x = whole<T>(a).part(done, most);
      const uint32_t epoch = turn.epoch(pieces);
      const int64_t bulk = peer.layout.bulk(epoch);
      move_vectors(
          x.vectors(),
          [&](int64_t v) { return x.read(v); },
          [&](int64_t v, const Words<4>& words) {
            for (int step = 1; step < peer.layout.ranks; ++step) {
              char* to = peer.mailbox[peer_after(peer, step)] + bulk + peer.rank * slot;
              store_bulk(to + v * 16, words);
            }
          });
      sound = turn.exchange_flags(epoch, 0);
      if (sound) {
        const char* mail = peer.mailbox[peer.rank] + bulk;
        move_vectors(
            x.vectors(),
            [&](int64_t v) { return x.sum(v, mail, slot, peer); },
            [&](int64_t v, const Words<4>& words) { x.write(v, words); });
      }
    }
    turn.finish(pieces);
  }
};

template <class T>
struct TwoShotReduce {
  using Arguments = PeerReduce;

  __device__ static void run(const PeerReduce& a) {
    PeerTurn turn(a.peer, a.op, a.bytes());
    const PeerEndpoint& peer = a.peer;
    // Of a half of the mailbox the first half is for the parts of the own slice, the second for
    // the sums of the others'.
    const int64_t slot = slot_bytes(peer.layout, 2 * peer.layout.ranks);
    const int64_t most = slot / static_cast<int64_t>(sizeof(T)) * peer.layout.ranks;
    int64_t pieces = 0;
    bool sound = !turn.gave_up();
    for (int64_t done = 0; done < a.count; done += most, ++pieces) {
      if (sound) {
        sound = piece(peer, turn, whole<T>(a).part(done, most), slot, turn.epoch(pieces));
      }
    }
    turn.finish(pieces);
  }

 private:
  __device__ static bool piece(
      const PeerEndpoint& peer, PeerTurn& turn, const Stretch<T>& x, int64_t slot, uint32_t epoch) {
    const int ranks = peer.layout.ranks;
    const int64_t slice = (x.vectors() + ranks - 1) / ranks * Stretch<T>::kCount;
    const int64_t parts = peer.layout.bulk(epoch);
    const int64_t sums = parts + ranks * slot;
    char* mail = peer.mailbox[peer.rank];
    for (int step = 1; step < ranks; ++step) {
      const int p = peer_after(peer, step);
      const Stretch<T> theirs = x.part(p * slice, slice);
      char* to = peer.mailbox[p] + parts + peer.rank * slot;
      move_vectors(
          theirs.vectors(),
          [&](int64_t v) { return theirs.read(v); },
          [&](int64_t v, const Words<4>& words) { store_bulk(to + v * 16, words); });
    }
    if (!turn.exchange_flags(epoch, 0)) {
      return false;
    }
    const Stretch<T> own = x.part(peer.rank * slice, slice);
    move_vectors(
        own.vectors(),
        [&](int64_t v) { return own.sum(v, mail + parts, slot, peer); },
        [&](int64_t v, const Words<4>& words) {
          own.write(v, words);
          for (int step = 1; step < ranks; ++step) {
            char* to = peer.mailbox[peer_after(peer, step)] + sums + peer.rank * slot;
            store_bulk(to + v * 16, words);
          }
        });
    if (!turn.exchange_flags(epoch, 1)) {
      return false;
    }
    for (int step = 1; step < ranks; ++step) {
      const int p = peer_after(peer, step);
      const Stretch<T> theirs = x.part(p * slice, slice);
      const char* from = mail + sums + p * slot;
      move_vectors(
          theirs.vectors(),
          [&](int64_t v) { return load_bulk(from + v * 16); },
          [&](int64_t v, const Words<4>& words) { theirs.write(v, words); });
    }
    return true;
  }
};

}  // namespace tutti::cuda
