// Launches of the collectives: grids are small, since all blocks of all ranks on a GPU must be able
// to wait there together and leave room for what the waited-for still have to compute.
#include <algorithm>
#include <type_traits>

#include "cuda/comm/peer_direct.cuh"
#include "cuda/comm/peer_exchange.cuh"
#include "cuda/comm/peer_kernels.h"
#include "cuda/comm/peer_norm.cuh"
#include "cuda/comm/peer_reduce.cuh"

namespace tutti::cuda {

namespace {

// Two H200s: 14 KiB of flagged data took 2.85 us with 4 blocks of 256 threads, 3.49 with 2 of 512;
// 1 MiB pushed was fastest with 16 blocks of 512.
constexpr int kFlaggedThreads = 256;
constexpr int kBulkThreads = 512;
constexpr int kSmallGrid = 16;

struct Grid {
  unsigned blocks = 1;
  unsigned threads = 1;
};

// `units` of data, `per_thread` of which one thread takes at least.
Grid grid_for(int64_t units, int per_thread, int threads, int most) {
  const int64_t share = int64_t{threads} * per_thread;
  const int64_t blocks = std::clamp<int64_t>((units + share - 1) / share, 1, most);
  return {static_cast<unsigned>(blocks), static_cast<unsigned>(threads)};
}

Grid grid_of(int64_t bytes, PeerAlgorithm by, int max_blocks) {
  const int small = std::min(kSmallGrid, max_blocks);
  switch (by) {
    case PeerAlgorithm::kFlagged:
      return grid_for((bytes + 7) / 8, 2, kFlaggedThreads, small);
    case PeerAlgorithm::kPush:
      return grid_for((bytes + 15) / 16, 2, kBulkThreads, small);
    default:
      return grid_for((bytes + 15) / 16, 4, kBulkThreads, max_blocks);
  }
}

Grid grid_of(const PeerReduceNorm& a) {
  const int64_t lines = (a.x.bytes() / a.rows + 7) / 8;  // of one row
  const int64_t threads = std::clamp<int64_t>((lines + 31) / 32 * 32, 32, kBulkThreads);
  const int64_t blocks = std::min<int64_t>(a.rows, std::min(kSmallGrid, a.x.peer.max_blocks));
  return {static_cast<unsigned>(blocks), static_cast<unsigned>(threads)};
}

template <class Body>
__global__ void __launch_bounds__(kBulkThreads)
    peer_kernel(const __grid_constant__ typename Body::Arguments a) {
  Body::run(a);
}

// The arguments of every rank.
template <class Arguments>
struct Together {
  Arguments rank[kMaxPeers];
};

template <class Body>
__global__ void __launch_bounds__(kBulkThreads)
    peer_kernel_together(const __grid_constant__ Together<typename Body::Arguments> a) {
  Body::run(a.rank[blockIdx.y]);
}

// How one body is launched: by one rank, or for `together` ranks in one grid.
template <class Arguments>
struct Launch {
  const Arguments* ranks = nullptr;
  int together = 0;
  Grid grid;
  cudaStream_t stream = nullptr;

  template <class Body>
  cudaError_t run() const {
    if (together == 0) {
      launch_overlapped(peer_kernel<Body>, dim3(grid.blocks), grid.threads, stream, ranks[0]);
    } else {
      Together<Arguments> all;
      std::copy_n(ranks, together, all.rank);
      peer_kernel_together<Body>
          <<<dim3(grid.blocks, static_cast<unsigned>(together)), grid.threads, 0, stream>>>(all);
    }
    return cudaGetLastError();
  }
};

// f(std::integral_constant): at least `ranks`, of the numbers that bodies are compiled for.
template <class F>
cudaError_t with_ranks(int ranks, const F& f) {
  if (ranks <= 2) {
    return f(std::integral_constant<int, 2>());
  }
  return ranks <= 4 ? f(std::integral_constant<int, 4>())
                    : f(std::integral_constant<int, kMaxPeers>());
}

cudaError_t all_reduce(const PeerReduce* ranks, int together, PeerAlgorithm by, cudaStream_t s) {
  const PeerReduce& a = ranks[0];
  if (a.count == 0) {
    return cudaSuccess;
  }
  const Launch<PeerReduce> launch{ranks, together, grid_of(a.bytes(), by, a.peer.max_blocks), s};
  return with_act(a.type, [&](auto act) {
    using T = decltype(act);
    switch (by) {
      case PeerAlgorithm::kFlagged:
        return with_ranks(a.peer.layout.ranks, [&](auto most) {
          return launch.template run<FlaggedReduce<T, most()>>();
        });
      case PeerAlgorithm::kPush:
        return launch.template run<PushReduce<T>>();
      default:
        return a.peer.direct ? launch.template run<DirectReduce<T>>()
                             : launch.template run<TwoShotReduce<T>>();
    }
  });
}

cudaError_t reduce_norm(const PeerReduceNorm* ranks, int together, cudaStream_t s) {
  const PeerReduceNorm& a = ranks[0];
  if (a.x.count == 0) {
    return cudaSuccess;
  }
  const Launch<PeerReduceNorm> launch{ranks, together, grid_of(a), s};
  return with_act(a.x.type, [&](auto act) {
    return with_ranks(a.x.peer.layout.ranks, [&](auto most) {
      return launch.template run<FlaggedReduceNorm<decltype(act), most()>>();
    });
  });
}

template <class T>
cudaError_t gather_of(const Launch<PeerGather>& launch, PeerAlgorithm by) {
  return by == PeerAlgorithm::kFlagged ? launch.template run<FlaggedGather<T>>()
                                       : launch.template run<PushGather<T>>();
}

cudaError_t gather(const PeerGather* ranks, int together, PeerAlgorithm by, cudaStream_t s) {
  const PeerGather& a = ranks[0];
  if (a.bytes() == 0) {
    return cudaSuccess;
  }
  const Launch<PeerGather> launch{ranks, together, grid_of(a.bytes(), by, a.peer.max_blocks), s};
  return a.element_bytes == 4 ? gather_of<uint32_t>(launch, by) : gather_of<uint8_t>(launch, by);
}

cudaError_t exchange(const PeerGather* ranks, int together, cudaStream_t s) {
  const PeerGather& a = ranks[0];
  if (a.bytes() == 0) {
    return cudaSuccess;
  }
  const Launch<PeerGather> launch{
      ranks, together, grid_of(a.share_bytes(), PeerAlgorithm::kPush, a.peer.max_blocks), s};
  return launch.template run<PushExchange<uint32_t>>();
}

template <class... Bodies>
cudaError_t load_bodies() {
  cudaError_t code = cudaSuccess;
  const auto load = [&](auto* kernel) {
    cudaFuncAttributes attributes{};
    code = code == cudaSuccess ? cudaFuncGetAttributes(&attributes, kernel) : code;
  };
  (load(peer_kernel<Bodies>), ...);
  (load(peer_kernel_together<Bodies>), ...);
  return code;
}

}  // namespace

int64_t flagged_bytes(const MailboxLayout& layout) {
  return (layout.lines - int64_t{1}) * 8;
}

cudaError_t peer_all_reduce(const PeerReduce& a, PeerAlgorithm by, cudaStream_t s) {
  return all_reduce(&a, 0, by, s);
}

bool peer_fuses_norm(int64_t width, ElementType type) {
  return width % (type == ElementType::kF32 ? 2 : 4) == 0;
}

cudaError_t peer_all_reduce_add_rms_norm(const PeerReduceNorm& a, cudaStream_t s) {
  return reduce_norm(&a, 0, s);
}

cudaError_t peer_gather(const PeerGather& a, PeerAlgorithm by, cudaStream_t s) {
  return gather(&a, 0, by, s);
}

cudaError_t peer_exchange_rows(const PeerGather& a, cudaStream_t s) {
  return exchange(&a, 0, s);
}

cudaError_t load_peer_kernels(int ranks) {
  const cudaError_t code = with_ranks(ranks, [](auto most) {
    return load_bodies<FlaggedReduce<float, most()>,
                       FlaggedReduce<bf16, most()>,
                       FlaggedReduceNorm<float, most()>,
                       FlaggedReduceNorm<bf16, most()>>();
  });
  if (code != cudaSuccess) {
    return code;
  }
  return load_bodies<PushReduce<float>,
                     PushReduce<bf16>,
                     TwoShotReduce<float>,
                     TwoShotReduce<bf16>,
                     DirectReduce<float>,
                     DirectReduce<bf16>,
                     FlaggedGather<uint32_t>,
                     FlaggedGather<uint8_t>,
                     PushGather<uint32_t>,
                     PushGather<uint8_t>,
                     PushExchange<uint32_t>>();
}

cudaError_t peer_all_reduce_together(const PeerReduce* ranks, PeerAlgorithm by, cudaStream_t s) {
  return all_reduce(ranks, ranks->peer.layout.ranks, by, s);
}

cudaError_t peer_all_reduce_add_rms_norm_together(const PeerReduceNorm* ranks, cudaStream_t s) {
  return reduce_norm(ranks, ranks->x.peer.layout.ranks, s);
}

cudaError_t peer_gather_together(const PeerGather* ranks, PeerAlgorithm by, cudaStream_t s) {
  return gather(ranks, ranks->peer.layout.ranks, by, s);
}

cudaError_t peer_exchange_rows_together(const PeerGather* ranks, cudaStream_t s) {
  return exchange(ranks, ranks->peer.layout.ranks, s);
}

}  // namespace tutti::cuda
