// A team of warps computes 16 outputs for up to 8 rows of x of one matrix at a time, and goes on to
// the next 16 with the loads of those already under way. Where there are enough outputs to fill the
// device a team is one warp; otherwise its warps share out k and add up at the end, and where
// outputs are few so do the blocks of a cluster.
#include "cuda/kernels/few_rows_input.cuh"
#include "cuda/ops/shared_memory.cuh"

namespace tutti::cuda {

namespace {

using few_rows::Bf16;
using few_rows::DirectReader;
using few_rows::DirectX;
using few_rows::E4m3;
using few_rows::kOutputs;
using few_rows::Matrix;
using few_rows::Params;
using few_rows::Reader;
using few_rows::StagedX;
using few_rows::Stretch;
using few_rows::Weights;

// Of shared memory, for rows of x: with two blocks on a multiprocessor half of its first-level
// cache remains.
constexpr int kStagedBytes = 60 * 1024;

constexpr int kMostSplit = 8;  // blocks of a cluster

// Warps of a block, of which kShare make a team; chunks of weights that each has under way; blocks
// that a multiprocessor shall hold.
template <int kWarps_, int kShare_, int kDepth_, int kPerSm_>
struct Plan {
  static constexpr int kWarps = kWarps_;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kShare = kShare_;
  static constexpr int kTeams = kWarps / kShare;
  static constexpr int kDepth = kDepth_;
  static constexpr int kPerSm = kPerSm_;
  static_assert(kShare == 1 || kShare == kWarps);
};

// What a block multiplies: rows of x by a matrix.
struct Task {
  Matrix matrix;
  Group rows;     // of y
  void* y;        // of row 0
  bool in_order;  // row i of y comes of row i of x, whatever x_rows says
};

const __device__ __forceinline__ __nv_bfloat16* row_of_x(const Params& p,
                                                         const Task& task,
                                                         int row) {
  return p.x + task.rows.index * p.x_group +
         (task.in_order || p.x_rows == nullptr ? row : p.x_rows[row]) * p.x_stride;
}

// Of one tile; sums[0, 1] are of outputs 0 .. 7, sums[2, 3] of 8 .. 15, of two rows of x each.
class Store {
 public:
  __device__ Store(const Params& p, const Task& task)
      : p_(p), y_(task.y), base_(task.rows.index * p.y_group) {}

  template <bool kGated>
  __device__ void tile(int tile, int begin, int end, const float (&sums)[4]) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int row = begin + 2 * (lane % 4) + j;
      if (row >= end) {
        continue;
      }
      const int64_t y = base_ + row * p_.y_stride;
      if constexpr (kGated) {
        const int column = tile * 8 + lane / 4;
        if (column < p_.n / 2) {
          put(y + column, sums[j] / (1.0F + __expf(-sums[j])) * sums[2 + j]);
        }
      } else {
        const int column = tile * kOutputs + lane / 4;
        if (column < p_.n) {
          put(y + column, sums[j]);
        }
        if (column + 8 < p_.n) {
          put(y + column + 8, sums[2 + j]);
        }
      }
    }
  }

 private:
  __device__ void put(int64_t at, float value) const {
    if (p_.f32_out) {
      static_cast<float*>(y_)[at] = value;
    } else {
      static_cast<__nv_bfloat16*>(y_)[at] = __float2bfloat16(value);
    }
  }

  const Params& p_;
  void* y_;
  int64_t base_;
};

// Adds up what the warps of a block have, and then the blocks of a cluster; true where the result
// is: in the first warp of the first block. `parts`: shared.
template <int kWarps>
__device__ bool add_up(const Params& p, float4 (&parts)[kWarps][32], float (&sums)[4]) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto add = [&sums](const float4& v) {
    sums[0] += v.x;
    sums[1] += v.y;
    sums[2] += v.z;
    sums[3] += v.w;
  };
  if (warp > 0) {
    parts[warp][lane] = float4{sums[0], sums[1], sums[2], sums[3]};
  }
  __syncthreads();
  if (warp == 0) {
#pragma unroll
    for (int w = 1; w < kWarps; ++w) {
      add(parts[w][lane]);
    }
  }
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if (p.split > 1) {
    if (warp == 0) {
      parts[0][lane] = float4{sums[0], sums[1], sums[2], sums[3]};
    }
    cluster_barrier();
    const bool first = cluster_rank() == 0;
    if (warp == 0 && first) {
      float4 others[kMostSplit];  // all under way together
#pragma unroll
      for (int rank = 1; rank < kMostSplit; ++rank) {
        others[rank] = rank < p.split
                           ? load_of_cluster(&parts[0][lane], static_cast<unsigned>(rank))
                           : float4{};
      }
#pragma unroll
      for (int rank = 1; rank < kMostSplit; ++rank) {
        add(others[rank]);
      }
    }
    cluster_barrier();  // nobody may leave while another reads
    return warp == 0 && first;
  }
#endif
  __syncthreads();  // the next tile writes `parts` again
  return warp == 0;
}

template <typename P, typename W, bool kGated, bool kGrouped>
__global__ void __launch_bounds__(P::kThreads, P::kPerSm)
    few_rows_kernel(const __grid_constant__ Params p) {
  extern __shared__ uint4 staged_bytes[];
  __shared__ float4 parts[P::kShare][32];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int split = P::kShare > 1 ? p.split : 1;
  const int block = static_cast<int>(blockIdx.x) / split;
  const int team = block * P::kTeams + warp / P::kShare;
  const int first_tile = team * p.team_tiles;
  const int end_tile = min(first_tile + p.team_tiles, p.tiles);
  Task task{.matrix = {},
            .rows = {.index = static_cast<int>(blockIdx.y), .begin = 0, .end = p.rows},
            .y = p.y,
            .in_order = false};
  // Blocks of the shared expert come first: they need not wait for the choice of the others.
  const bool shared = kGrouped && p.beside.y != nullptr && blockIdx.y == 0;
  if constexpr (kGrouped) {
    if (shared) {
      task = {.matrix = {static_cast<const uint8_t*>(p.beside.w), p.beside.scales},
              .rows = {.index = 0, .begin = 0, .end = p.beside.rows},
              .y = p.beside.y,
              .in_order = true};
    } else {
      wait_for_previous_kernel();
      task.rows = nth_group_with_rows(
          p.offsets, p.groups, static_cast<int>(blockIdx.y) - (p.beside.y != nullptr ? 1 : 0));
      if (task.rows.index < 0) {
        return;  // all blocks of a cluster: they have the same y
      }
    }
  }
  const Group group = task.rows;
  if (!shared) {
    task.matrix = {p.w + group.index * (static_cast<int64_t>(p.k) * (W::kScaled ? 1 : 2) * p.n),
                   p.scales.data + group.index * p.scales.group_stride};
  }
  const int chunks = (p.k + W::kChunk - 1) / W::kChunk;
  const int stride = split * P::kShare;
  const Stretch stretch{
      .part = static_cast<int>(blockIdx.x) % split * P::kShare + (P::kShare == 1 ? 0 : warp),
      .stride = stride,
      .steps = (chunks + stride - 1) / stride};
  const Store store(p, task);
  for (int begin = group.begin; begin < group.end; begin += p.pass_rows) {
    Weights<W> ring[P::kDepth];
    Reader<W, kGated> reader(p, task.matrix, first_tile, end_tile, stretch);
#pragma unroll
    for (int d = 0; d < P::kDepth; ++d) {
      reader.next(ring[d]);
    }
    if (begin == group.begin) {
      if (!kGrouped || shared) {
        wait_for_previous_kernel();  // the weights never change, x is what it wrote
      }
      let_next_kernel_start();
    }
    const int end = min(begin + p.pass_rows, group.end);
    // Calls product(d, chunk of the block, sums) for every chunk, then says that d is free.
    const auto run = [&](const auto& product, const auto& refill) {
      float sums[4] = {};
      int step = 0;
      for (int tile = first_tile; tile < end_tile;) {
#pragma unroll
        for (int d = 0; d < P::kDepth; ++d) {
          product(d, step * P::kShare + (P::kShare == 1 ? 0 : warp), sums);
          refill(d);
          if (++step == stretch.steps) {  // the tile is complete
            bool mine = tile < end_tile;
            if constexpr (P::kShare > 1) {
              mine = tile < end_tile && add_up<P::kWarps>(p, parts, sums);
            }
            if (mine) {
              store.template tile<kGated>(tile, begin, end, sums);
            }
#pragma unroll
            for (float& sum : sums) {
              sum = 0.0F;
            }
            step = 0;
            ++tile;
          }
        }
      }
    };
    if constexpr (W::kScaled) {
      StagedX x(reinterpret_cast<uint8_t*>(staged_bytes), p.pass_rows, stretch.steps * P::kShare);
      if (begin > group.begin) {
        __syncthreads();  // the rows before are still read
      }
      x.fill<P::kWarps, P::kShare>(
          [&](int i) { return row_of_x(p, task, begin + i); }, end - begin, p.k, stretch);
      run([&](int d, int chunk, float(&sums)[4]) { x.multiply(ring[d], chunk, sums); },
          [&](int d) { reader.next(ring[d]); });
    } else {
      const int row = begin + static_cast<int>(threadIdx.x) % 32 / 4;
      DirectReader x_reader(p, row < end ? row_of_x(p, task, row) : nullptr, stretch);
      DirectX x[P::kDepth];
#pragma unroll
      for (int d = 0; d < P::kDepth; ++d) {
        x_reader.next(x[d]);
      }
      run([&](int d, int, float(&sums)[4]) { multiply(ring[d], x[d], sums); },
          [&](int d) {
            reader.next(ring[d]);
            x_reader.next(x[d]);
          });
    }
  }
}

constexpr int kProcessors = 132;  // of the H200 that the choices below were measured on

template <typename P, typename W, bool kGated>
cudaError_t launch(Params p, int matrices, cudaStream_t stream) {
  // More tiles than warps that fit: each takes some.
  constexpr int kMostTiles = 8;
  const int resident = kProcessors * P::kPerSm * P::kTeams;
  p.team_tiles = P::kShare > 1 ? 1 : max(1, min(kMostTiles, p.tiles * matrices / resident));
  p.split = P::kShare >= 8 ? p.split : 1;
  size_t staged = 0;
  if constexpr (W::kScaled) {
    const int stride = p.split * P::kShare;
    const int chunks = ((p.k + W::kChunk - 1) / W::kChunk + stride - 1) / stride * P::kShare;
    p.pass_rows = max(1, min(p.pass_rows, kStagedBytes / StagedX::bytes(1, chunks)));
    staged = static_cast<size_t>(StagedX::bytes(p.pass_rows, chunks));
  }
  const int per_block = P::kTeams * p.team_tiles;
  const OverlappedLaunch how{
      .grid = dim3(static_cast<unsigned>((p.tiles + per_block - 1) / per_block * p.split),
                   static_cast<unsigned>(matrices)),
      .threads = P::kThreads,
      .shared_bytes = staged,
      .stream = stream,
      .cluster = static_cast<unsigned>(p.split)};
  const auto start = [&](auto* kernel) {
    const cudaError_t code = allow_shared(kernel, staged);
    return code != cudaSuccess ? code : launch_overlapped(kernel, how, p);
  };
  return p.offsets != nullptr ? start(few_rows_kernel<P, W, kGated, true>)
                              : start(few_rows_kernel<P, W, kGated, false>);
}

// How the work is shared out; by bench/cuda/expert_bench on an H200.
struct Sharing {
  int warps;   // of a team: 1, 4 or 8
  int blocks;  // that share each sum, with 8 warps
};

Sharing choose_sharing(int teams, int chunks) {
  // A warp alone where there are enough, or sums too short to share.
  if (teams >= 5 * kProcessors || (teams >= kProcessors / 2 && chunks <= 4)) {
    return {1, 1};
  }
  // Four where eight would have little to do each.
  if (teams >= 2 * kProcessors || (teams > kProcessors && chunks < 16)) {
    return {4, 1};
  }
  // As many blocks as keep the device busy and leave every warp something.
  int blocks = 1;
  while (blocks < kMostSplit && 2 * blocks * teams <= kProcessors && 2 * blocks * 8 <= chunks) {
    blocks *= 2;
  }
  return {8, blocks};
}

// Whether the current device has clusters of blocks (compute capability 9.0).
bool has_clusters() {
  int device = 0;
  int has = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&has, cudaDevAttrClusterLaunch, device) == cudaSuccess && has != 0;
}

template <typename W, bool kGated>
cudaError_t choose(Params p, int share, cudaStream_t stream) {
  constexpr int kDepth = W::kScaled ? 3 : 4;
  constexpr int kWideDepth = W::kScaled ? 3 : 2;
  constexpr int kPerSm = W::kScaled ? 4 : 3;
  // No more matrices have rows than there are rows.
  const int matrices =
      p.offsets == nullptr ? p.groups : min(p.groups, p.rows) + (p.beside.y != nullptr ? 1 : 0);
  Sharing sharing = choose_sharing(p.tiles * matrices, (p.k + W::kChunk - 1) / W::kChunk);
  if (share != 0) {
    sharing = {share, max(1, p.split)};
  }
  p.split = has_clusters() ? sharing.blocks : 1;
  switch (sharing.warps) {
    case 1:
      return launch<Plan<4, 1, kDepth, kPerSm>, W, kGated>(p, matrices, stream);
    case 4:
      return launch<Plan<4, 4, kDepth, kPerSm>, W, kGated>(p, matrices, stream);
    default:
      return launch<Plan<8, 8, kWideDepth, 2>, W, kGated>(p, matrices, stream);
  }
}

}  // namespace

cudaError_t few_rows_gemm(const FewRowsGemm& g, cudaStream_t stream) {
  if (g.rows == 0 || g.n == 0) {
    return cudaSuccess;
  }
  const bool scaled = g.scales.data != nullptr;
  if (g.rows < 0 || g.k % (scaled ? 16 : 8) != 0 || g.x_stride % 8 != 0 || g.x_group % 8 != 0 ||
      (g.gated && g.n % 2 != 0) || (g.offsets != nullptr && (g.x_group != 0 || g.y_group != 0)) ||
      (g.beside.y != nullptr && g.offsets == nullptr) || g.split < 0 || g.split > kMostSplit ||
      (g.split & (g.split - 1)) != 0) {
    return cudaErrorInvalidValue;
  }
  const int results = g.gated ? kOutputs / 2 : kOutputs;
  const Params p{.y = g.y,
                 .x = static_cast<const __nv_bfloat16*>(g.x),
                 .w = static_cast<const uint8_t*>(g.w),
                 .scales = g.scales,
                 .x_rows = g.x_rows,
                 .offsets = g.offsets,
                 .y_stride = g.y_stride,
                 .x_stride = g.x_stride,
                 .y_group = g.y_group,
                 .x_group = g.x_group,
                 .rows = g.rows,
                 .groups = g.groups,
                 .n = g.n,
                 .k = g.k,
                 .f32_out = g.f32_out,
                 .pass_rows = min(kFewRows, g.most_rows > 0 ? min(g.most_rows, g.rows) : g.rows),
                 .split = g.split,
                 .tiles = ((g.gated ? g.n / 2 : g.n) + results - 1) / results,
                 .team_tiles = 1,
                 .beside = g.beside};
  if (scaled) {
    return g.gated ? choose<E4m3, true>(p, g.share, stream)
                   : choose<E4m3, false>(p, g.share, stream);
  }
  return g.gated ? choose<Bf16, true>(p, g.share, stream) : choose<Bf16, false>(p, g.share, stream);
}

}  // namespace tutti::cuda
