// Columns of all ranks side by side, and one rank's data to all: bits are moved as they are.
#pragma once
#include "cuda/comm/peer_reduce.cuh"

namespace tutti::cuda {

/// One sender's columns, row after row, in kWords words at a time.
template <class T, int kWords>
class Columns {
 public:
  static constexpr int kCount = kPer<T, kWords>;

  __device__ Columns(T* data, int64_t stride, int64_t width, int64_t elements)
      : data_(data),
        stride_(static_cast<uint32_t>(stride)),
        width_(static_cast<uint32_t>(width)),
        elements_(elements),
        // Words then never lie astride of two rows.
        whole_(width % kCount == 0 && stride % kCount == 0 && aligned_to(data, kWords * 4)) {}

  __device__ int64_t count() const { return (elements_ + kCount - 1) / kCount; }

  __device__ __forceinline__ Words<kWords> read(int64_t v) const {
    const int64_t left = elements_ - v * kCount;
    if (whole_ || width_ == stride_) {
      return read_elements<T, kWords>(at(v * kCount), left, whole_);
    }
    Words<kWords> words{};
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (i < left) {
        words.w[i / kInWord] |= static_cast<unsigned>(*at(v * kCount + i))
                                << (8 * sizeof(T) * (i % kInWord));
      }
    }
    return words;
  }

  __device__ __forceinline__ void write(int64_t v, const Words<kWords>& words) const {
    const int64_t left = elements_ - v * kCount;
    if (whole_ || width_ == stride_) {
      write_elements<T, kWords>(at(v * kCount), words, left, whole_);
      return;
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (i < left) {
        *at(v * kCount + i) =
            static_cast<T>(words.w[i / kInWord] >> (8 * sizeof(T) * (i % kInWord)));
      }
    }
  }

 private:
  static constexpr int kInWord = kCount / kWords;

  // Element `i` of all rows.
  __device__ __forceinline__ T* at(int64_t i) const {
    const auto flat = static_cast<uint32_t>(i);
    const uint32_t row = flat / width_;
    return data_ + static_cast<int64_t>(row) * stride_ + (flat - row * width_);
  }

  T* data_;
  uint32_t stride_;
  uint32_t width_;
  int64_t elements_;
  bool whole_;
};

/// What rank `p` sends, where it ends up on every rank.
template <class T, int kWords>
__device__ __forceinline__ Columns<T, kWords> columns_out(const PeerGather& a, int p) {
  return {static_cast<T*>(a.out) + a.offset[p], a.out_stride, a.width[p], a.elements(p)};
}

/// What this rank sends, where it lies.
template <class T, int kWords>
__device__ __forceinline__ Columns<T, kWords> columns_in(const PeerGather& a) {
  const int rank = a.peer.rank;
  return {static_cast<T*>(const_cast<void*>(a.in)), a.in_stride, a.width[rank], a.elements(rank)};
}

template <class T>
struct FlaggedGather {
  using Arguments = PeerGather;

  __device__ static void run(const PeerGather& a) {
    PeerTurn turn(a.peer, a.op, a.bytes());
    if (!turn.gave_up()) {
      send(a, turn);
      receive(a, turn);
    }
    turn.finish(1);
  }

 private:
  __device__ static int64_t first() {
    return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  }

  __device__ static int64_t stride() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

  // A rank with nothing to send is heard from all the same, by the last of its lines: without it
  // nobody would know that it has read what came before (peer_types.h).
  __device__ static bool greets(const PeerEndpoint& peer) {
    const int t = static_cast<int>(threadIdx.x);
    return blockIdx.x == 0 && t < peer.layout.ranks && t != peer.rank;
  }

  __device__ static void send(const PeerGather& a, const PeerTurn& turn) {
    const PeerEndpoint& peer = a.peer;
    const uint32_t epoch = turn.epoch();
    if (greets(peer)) {
      store_line(
          peer.mailbox[threadIdx.x] + peer.layout.line(epoch, peer.rank, peer.layout.lines - 1),
          Words<2>{},
          epoch);
    }
    if (a.width[peer.rank] == 0) {
      return;
    }
    const auto in = columns_in<T, 2>(a);
    const auto own = columns_out<T, 2>(a, peer.rank);
    for (int64_t i = first(); i < in.count(); i += stride()) {
      const Words<2> words = in.read(i);
      const int64_t at = peer.layout.line(epoch, peer.rank, i);
      for (int step = 1; step < peer.layout.ranks; ++step) {
        store_line(peer.mailbox[peer_after(peer, step)] + at, words, epoch);
      }
      if (a.in != a.out) {
        own.write(i, words);
      }
    }
  }

  __device__ static void receive(const PeerGather& a, PeerTurn& turn) {
    const PeerEndpoint& peer = a.peer;
    const uint32_t epoch = turn.epoch();
    const char* mail = peer.mailbox[peer.rank];
    for (int step = 1; step < peer.layout.ranks; ++step) {
      const int p = peer_after(peer, step);
      if (a.width[p] == 0) {
        continue;
      }
      const auto out = columns_out<T, 2>(a, p);
      for (int64_t i = first(); i < out.count(); i += stride()) {
        const char* at = mail + peer.layout.line(epoch, p, i);
        out.write(i, turn.wait_for_line(p, epoch, at, load_line(at)));
      }
    }
    if (greets(peer)) {
      const int p = static_cast<int>(threadIdx.x);
      const char* at = mail + peer.layout.line(epoch, p, peer.layout.lines - 1);
      turn.wait_for_line(p, epoch, at, load_line(at));
    }
  }
};

/// A part of a message that fits into a half of the mailbox.
struct GatherPiece {
  int64_t begin;  ///< vectors
  int64_t most;
  int64_t slot;  ///< bytes
  uint32_t epoch;

  /// How many of `count` vectors are in it.
  __device__ int64_t of(int64_t count) const {
    const int64_t left = count - begin;
    return left < 0 ? 0 : (left < most ? left : most);
  }
};

/// move(piece) for each part of a message of at most `bytes` from a rank to another, until one
/// fails.
template <class Move>
__device__ void move_in_pieces(const PeerGather& a, int64_t bytes, const Move& move) {
  PeerTurn turn(a.peer, a.op, bytes);
  const int64_t slot = slot_bytes(a.peer.layout, a.peer.layout.ranks);
  const int64_t all = (bytes + 15) / 16;  // vectors of the rank that sends most
  const int64_t most = slot / 16;
  int64_t pieces = 0;
  bool sound = !turn.gave_up();
  for (int64_t done = 0; done < all; done += most, ++pieces) {
    if (sound) {
      sound = move(turn, GatherPiece{done, most, slot, turn.epoch(pieces)});
    }
  }
  turn.finish(pieces);
}

template <class T>
struct PushGather {
  using Arguments = PeerGather;

  __device__ static void run(const PeerGather& a) {
    move_in_pieces(a, a.bytes(), [&a](PeerTurn& turn, const GatherPiece& piece) {
      return move(a, turn, piece);
    });
  }

 private:
  __device__ static bool move(const PeerGather& a, PeerTurn& turn, const GatherPiece& piece) {
    const PeerEndpoint& peer = a.peer;
    const int64_t bulk = peer.layout.bulk(piece.epoch);
    if (a.width[peer.rank] > 0) {
      const auto in = columns_in<T, 4>(a);
      const auto own = columns_out<T, 4>(a, peer.rank);
      move_vectors(
          piece.of(in.count()),
          [&](int64_t v) { return in.read(piece.begin + v); },
          [&](int64_t v, const Words<4>& words) {
            for (int step = 1; step < peer.layout.ranks; ++step) {
              char* to = peer.mailbox[peer_after(peer, step)] + bulk + peer.rank * piece.slot;
              store_bulk(to + v * 16, words);
            }
            if (a.in != a.out) {
              own.write(piece.begin + v, words);
            }
          });
    }
    if (!turn.exchange_flags(piece.epoch, 0)) {
      return false;
    }
    for (int step = 1; step < peer.layout.ranks; ++step) {
      const int p = peer_after(peer, step);
      if (a.width[p] == 0) {
        continue;
      }
      const auto out = columns_out<T, 4>(a, p);
      const char* from = peer.mailbox[peer.rank] + bulk + p * piece.slot;
      move_vectors(
          piece.of(out.count()),
          [&](int64_t v) { return load_bulk(from + v * 16); },
          [&](int64_t v, const Words<4>& words) { out.write(piece.begin + v, words); });
    }
    return true;
  }
};

}  // namespace tutti::cuda
