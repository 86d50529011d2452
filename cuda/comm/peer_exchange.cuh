// Every rank's columns of all rows become all columns of every rank's rows.
#pragma once
#include "cuda/comm/peer_gather.cuh"

namespace tutti::cuda {

template <class T>
struct PushExchange {
  using Arguments = PeerGather;

  __device__ static void run(const PeerGather& a) {
    move_in_pieces(a, a.share_bytes(), [&a](PeerTurn& turn, const GatherPiece& piece) {
      return move(a, turn, piece);
    });
  }

 private:
  // What this rank has of the rows of rank `p`.
  __device__ static Columns<T, 4> sent(const PeerGather& a, int p) {
    const int64_t width = a.width[a.peer.rank];
    return {static_cast<T*>(const_cast<void*>(a.in)) + a.share_begin(p) * a.in_stride,
            a.in_stride,
            width,
            a.share_rows(p) * width};
  }

  // Where what rank `p` has of this rank's rows ends up.
  __device__ static Columns<T, 4> received(const PeerGather& a, int p) {
    return {static_cast<T*>(a.out) + a.offset[p],
            a.out_stride,
            a.width[p],
            a.share_rows(a.peer.rank) * a.width[p]};
  }

  __device__ static bool move(const PeerGather& a, PeerTurn& turn, const GatherPiece& piece) {
    const PeerEndpoint& peer = a.peer;
    const int64_t bulk = peer.layout.bulk(piece.epoch);
    for (int step = 1; step < peer.layout.ranks && a.width[peer.rank] > 0; ++step) {
      const int p = peer_after(peer, step);
      const auto in = sent(a, p);
      char* to = peer.mailbox[p] + bulk + peer.rank * piece.slot;
      move_vectors(
          piece.of(in.count()),
          [&](int64_t v) { return in.read(piece.begin + v); },
          [&](int64_t v, const Words<4>& words) { store_bulk(to + v * 16, words); });
    }
    if (a.width[peer.rank] > 0) {
      const auto in = sent(a, peer.rank);
      const auto out = received(a, peer.rank);
      move_vectors(
          piece.of(in.count()),
          [&](int64_t v) { return in.read(piece.begin + v); },
          [&](int64_t v, const Words<4>& words) { out.write(piece.begin + v, words); });
    }
    if (!turn.exchange_flags(piece.epoch, 0)) {
      return false;
    }
    for (int step = 1; step < peer.layout.ranks; ++step) {
      const int p = peer_after(peer, step);
      if (a.width[p] == 0) {
        continue;
      }
      const auto out = received(a, p);
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
