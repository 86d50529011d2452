// Weights are the row operand (64 outputs per instruction), tokens the columns, so that the same
// kernel reads weights at memory speed for 16 tokens of an expert and fills the matrix units with
// 128. A thread block stays and takes tiles in turns: one warp group brings weights by the tensor
// memory accelerator and rows of x, which lie wherever the router found them, by asynchronous
// copies; two compute. Where a single matrix has too few tiles for the device, the blocks of a
// cluster share the sum of each.
#include "cuda/kernels/grouped_producer.cuh"

namespace tutti::cuda {

namespace {

using namespace grouped;  // tiles and who brings them

#if TUTTI_HAS_WGMMA

template <int kTokens, bool kScaled, bool kGated>
class Consumer {
 public:
  using S = Shared<kTokens, kScaled>;
  static constexpr int kSums = kTokens / 2;  // of one fragment of 64 outputs, per thread

  __device__ Consumer(const Params& p, S& shared, int role)
      : p_(p),
        shared_(shared),
        role_(role),
        lane_(static_cast<int>(threadIdx.x) % 32),
        warp_(static_cast<int>(threadIdx.x) / 32 % 4) {}

  __device__ void run(const Steps& steps) {
    int group = 0;
    int at = 0;
    for (int index = first_index(p_); index < shared_.first_tile[p_.groups];
         index += index_stride(p_)) {
      const Tile tile = tile_at<kTokens>(p_, shared_.first_tile, index, group);
      float low[kSums];
      float high[kSums];
      if constexpr (kScaled) {
        multiply_scaled(tile, steps, at, low, high);
      } else {
        multiply(steps.count, at, low, high);
      }
      at += steps.count;
      if (p_.split > 1) {
        add_up(low, high);
      }
      store(tile, low, high);
    }
  }

 private:
  static constexpr int kStages = S::kStages;

  __device__ void wait_full(int at) const {
    barrier_wait(&shared_.full[at % kStages], static_cast<uint32_t>(at / kStages & 1));
    if (p_.x_rows != nullptr) {
      fence_async_proxy();  // rows of x came by ordinary copies
    }
  }

  __device__ void release(int at) const {
    __syncwarp();
    if (lane_ == 0) {
      barrier_arrive(&shared_.empty[at % kStages]);
    }
  }

  // Operands of a stage; 32 bytes further on along k is 2 more, 64 rows further 512.
  __device__ uint64_t weights(int at, int half) const {
    const uint32_t base = smem_address(shared_.w[at % kStages]);
    return swizzled_operand(
        base + static_cast<uint32_t>((role_ * 2 + half) * 64 * kRowBytes), 16, 8 * kRowBytes);
  }

  __device__ uint64_t tokens(int at) const {
    return swizzled_operand(smem_address(shared_.x[at % kStages]), 16, 8 * kRowBytes);
  }

  __device__ void multiply(int steps, int at, float (&low)[kSums], float (&high)[kSums]) const {
    for (int i = 0; i < steps; ++i) {
      wait_full(at + i);
      const uint64_t w_low = weights(at + i, 0);
      const uint64_t w_high = weights(at + i, 1);
      const uint64_t x = tokens(at + i);
      wgmma_fence();
#pragma unroll
      for (int step = 0; step < kRowBytes / 32; ++step) {
        const int add = i + step > 0 ? 1 : 0;
        wgmma_bf16(low, w_low + 2 * step, x + 2 * step, add);
        wgmma_bf16(high, w_high + 2 * step, x + 2 * step, add);
      }
      wgmma_commit();
      if (i > 0) {
        wgmma_wait<1>();
        release(at + i - 1);
      }
    }
    wgmma_wait<0>();
    wgmma_pin(low);
    wgmma_pin(high);
    release(at + steps - 1);
  }

  // Where the factors of this thread's two rows of a half begin.
  __device__ void find_scales(const Tile& tile, int half, const float* (&scales)[2]) const {
    const int first = part_row<kGated>(p_, tile, role_ * 2 + half);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = min(first + warp_ * 16 + lane_ / 4 + 8 * r, p_.n - 1);
      scales[r] = p_.scales.data + tile.group * p_.scales.group_stride +
                  row / p_.scales.rows * p_.scales.row_stride;
    }
  }

  __device__ void multiply_scaled(const Tile& tile,
                                  const Steps& steps,
                                  int at,
                                  float (&low)[kSums],
                                  float (&high)[kSums]) const {
    const float* low_scales[2];
    const float* high_scales[2];
    find_scales(tile, 0, low_scales);
    find_scales(tile, 1, high_scales);
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      low[i] = 0.0F;
      high[i] = 0.0F;
    }
    for (int i = 0; i < steps.count; ++i) {
      const int step = steps.first + i;
      const float low_scale[2] = {__ldg(low_scales[0] + step), __ldg(low_scales[1] + step)};
      const float high_scale[2] = {__ldg(high_scales[0] + step), __ldg(high_scales[1] + step)};
      wait_full(at + i);
      if constexpr (kSums <= 32) {
        // Room for both: the one is added up while the other is computed.
        float blocks[2][kSums];
        issue_block(at + i, 0, blocks[0]);
        issue_block(at + i, 1, blocks[1]);
        wgmma_wait<1>();
        wgmma_pin(blocks[0]);
        add_block(at + i, low_scale, blocks[0], low);
        wgmma_wait<0>();
        wgmma_pin(blocks[1]);
        add_block(at + i, high_scale, blocks[1], high);
      } else {
        float block[kSums];
        issue_block(at + i, 0, block);
        wgmma_wait<0>();
        wgmma_pin(block);
        add_block(at + i, low_scale, block, low);
        issue_block(at + i, 1, block);
        wgmma_wait<0>();
        wgmma_pin(block);
        add_block(at + i, high_scale, block, high);
      }
      release(at + i);
    }
  }

  __device__ void issue_block(int at, int half, float (&block)[kSums]) const {
    const uint64_t w = weights(at, half);
    const uint64_t x = tokens(at);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < kRowBytes / 32; ++step) {
      wgmma_e4m3(block, w + 2 * step, x + 2 * step, step > 0 ? 1 : 0);
    }
    wgmma_commit();
  }

  // scale: of this thread's two rows of the weights.
  __device__ void add_block(int at,
                            const float (&scale)[2],
                            const float (&block)[kSums],
                            float (&sums)[kSums]) const {
    const float* x_scales = shared_.x_scales[at % kStages] + 2 * (lane_ % 4);
#pragma unroll
    for (int j = 0; j < kSums / 4; ++j) {
      const float2 of = *reinterpret_cast<const float2*>(x_scales + 8 * j);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[4 * j + i] =
            fmaf(block[4 * j + i], scale[i / 2] * (i % 2 == 0 ? of.x : of.y), sums[4 * j + i]);
      }
    }
  }

  // Whether this block of the cluster adds up and stores these 16 tokens of the tile.
  __device__ bool owns(int tokens) const {
    return p_.split == 1 || tokens % p_.split == static_cast<int>(blockIdx.x) % p_.split;
  }

  // Adds the sums of all blocks of the cluster, in their order, for the tokens that are this
  // block's. They meet in what held the weights.
  __device__ void add_up(float (&low)[kSums], float (&high)[kSums]) const {
    constexpr int kConsumers = 2 * kGroupThreads;
    constexpr int kHalf = kSums / 4;  // pieces of 4 sums
    static_assert(2 * kHalf * kConsumers * sizeof(float4) <= sizeof(shared_.w));
    float4* parts = reinterpret_cast<float4*>(shared_.w) + threadIdx.x;
    named_barrier<kConsumers>(kBothGroups);  // nobody reads weights any more
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      parts[i * kConsumers] = four(low, i);
      parts[(kHalf + i) * kConsumers] = four(high, i);
    }
    cluster_barrier();
#pragma unroll
    for (int tokens = 0; tokens < kTokens / 16; ++tokens) {  // 8 sums of each half
      if (owns(tokens)) {
        float4 sums[4] = {};
#pragma unroll 2
        for (int rank = 0; rank < p_.split; ++rank) {
          float4 of_rank[4];
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            of_rank[i] = load_of_cluster(parts + (i / 2 * kHalf + 2 * tokens + i % 2) * kConsumers,
                                         static_cast<unsigned>(rank));
          }
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sums[i].x += of_rank[i].x;
            sums[i].y += of_rank[i].y;
            sums[i].z += of_rank[i].z;
            sums[i].w += of_rank[i].w;
          }
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          put(low, 2 * tokens + i, sums[i]);
          put(high, 2 * tokens + i, sums[2 + i]);
        }
      }
    }
    cluster_barrier();  // nobody may leave while another reads
  }

  __device__ static float4 four(const float (&sums)[kSums], int i) {
    return {sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]};
  }

  __device__ static void put(float (&sums)[kSums], int i, const float4& v) {
    sums[4 * i] = v.x;
    sums[4 * i + 1] = v.y;
    sums[4 * i + 2] = v.z;
    sums[4 * i + 3] = v.w;
  }

  __device__ void store(const Tile& tile, float (&low)[kSums], float (&high)[kSums]) const {
    if constexpr (kGated) {
#pragma unroll
      for (int i = 0; i < kSums; ++i) {
        low[i] = low[i] / (1.0F + __expf(-low[i])) * high[i];
      }
      store_half(tile, low, tile.output * (kWeightRows / 2) + role_ * 64, p_.n / 2);
    } else {
      const int first = tile.output * kWeightRows + role_ * 128;
      store_half(tile, low, first, p_.n);
      store_half(tile, high, first + 64, p_.n);
    }
  }

  // 64 outputs of every token, by way of shared memory: [token][output], pieces of 16 bytes
  // swizzled.
  __device__ void store_half(const Tile& tile,
                             const float (&sums)[kSums],
                             int first,
                             int width) const {
    uint8_t* out = shared_.out[role_];
    const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
    const int piece =
        warp_ * 2 + lane_ / 8 % 2;  // matrices 0, 2: outputs 0..7 of the warp; 1, 3: 8..15
#pragma unroll
    for (int from = 0; from < kTokens; from += S::kOutTokens) {
#pragma unroll
      for (int pair = 0; pair < S::kOutTokens / 16; ++pair) {
        if (!owns(from / 16 + pair)) {
          continue;
        }
        const int token = pair * 16 + lane_ / 16 * 8 + lane_ % 8;
        uint32_t r[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int at = from / 2 + (pair * 2 + i / 2) * 4 + i % 2 * 2;
          r[i] = pack_bf16(sums[at], sums[at + 1]);
        }
        store_matrix_x4_transposed(
            smem_address(out) +
                static_cast<uint32_t>(token * kRowBytes + (piece ^ (token % 8)) * 16),
            r);
      }
      named_barrier<kGroupThreads>(1 + role_);
      const int rows = min(S::kOutTokens, tile.rows - from);
      for (int i = thread; i < rows * 8; i += kGroupThreads) {
        const int token = i / 8;
        const int column = first + i % 8 * 8;
        if (column < width && owns((from + token) / 16)) {
          *reinterpret_cast<uint4*>(p_.y + (tile.row + from + token) * p_.y_stride + column) =
              *reinterpret_cast<const uint4*>(out + token * kRowBytes +
                                              ((i % 8) ^ (token % 8)) * 16);
        }
      }
      named_barrier<kGroupThreads>(1 + role_);  // `out` may be written again
    }
  }

  const Params& p_;
  S& shared_;
  int role_;
  int lane_;
  int warp_;
};

#endif  // TUTTI_HAS_WGMMA

template <int kTokens, bool kScaled, bool kGated>
__global__ void __launch_bounds__(kThreads, 1)
    grouped_gemm_kernel(const __grid_constant__ Params p,
                        const __grid_constant__ CUtensorMap w_map,
                        const __grid_constant__ CUtensorMap x_map) {
#if TUTTI_HAS_WGMMA
  using S = Shared<kTokens, kScaled>;
  extern __shared__ uint8_t raw[];
  S& shared = *reinterpret_cast<S*>(raw + bytes_to_align(raw));
  const int output_tiles = kGated ? (p.n / 2 + kWeightRows / 2 - 1) / (kWeightRows / 2)
                                  : (p.n + kWeightRows - 1) / kWeightRows;
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::kStages; ++i) {
      barrier_init(&shared.full[i], 1 + kGroupThreads);
      barrier_init(&shared.empty[i], 2 * kGroupThreads / 32);
    }
    barrier_init_fence();
    tma_prefetch_map(&w_map);
    tma_prefetch_map(&x_map);
  }
  wait_for_previous_kernel();
  if (threadIdx.x < 32) {
    count_tiles<kTokens>(p, output_tiles, shared.first_tile);
  }
  __syncthreads();
  const Steps steps = steps_of(p);
  const int role = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (role == 2) {
    give_registers<kProducerRegisters>();
    Producer<kTokens, kScaled, kGated>(p, shared, w_map, x_map).run(steps);
    let_next_kernel_start();
    if (p.split > 1) {  // all threads of the cluster meet twice
      cluster_barrier();
      cluster_barrier();
    }
  } else {
    take_registers<kConsumerRegisters>();
    Consumer<kTokens, kScaled, kGated>(p, shared, role).run(steps);
  }
#endif
}

// Tiles of a single matrix.
template <int kTokens, bool kGated>
int single_tiles(const Params& p) {
  const int width = kGated ? p.n / 2 : p.n;
  const int of_tile = kGated ? kWeightRows / 2 : kWeightRows;
  return (width + of_tile - 1) / of_tile * ((p.rows + kTokens - 1) / kTokens);
}

// As many blocks for each tile as the device has room for, if each has a few steps to do.
int choose_split(int tiles, int steps, int processors) {
  constexpr int kFewSteps = 2;
  int split = 1;
  while (split < 8 && 2 * split * tiles <= processors && steps >= 2 * split * kFewSteps) {
    split *= 2;
  }
  return split;
}

template <int kTokens, bool kScaled, bool kGated>
cudaError_t launch(Params p,
                   const CUtensorMap& w_map,
                   const CUtensorMap& x_map,
                   cudaStream_t stream) {
  constexpr int kSharedBytes = sizeof(Shared<kTokens, kScaled>) + 1024;  // room to align
  static_assert(kSharedBytes <= 227 * 1024);
  auto* kernel = grouped_gemm_kernel<kTokens, kScaled, kGated>;
  int device = 0;
  int processors = 0;
  cudaError_t code = cudaGetDevice(&device);
  if (code == cudaSuccess) {
    code = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  }
  if (code == cudaSuccess) {
    code = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  }
  if (code != cudaSuccess) {
    return code;
  }
  if (p.offsets != nullptr || p.groups != 1) {
    p.split = 1;
  } else if (p.split == 0) {
    p.split = choose_split(
        single_tiles<kTokens, kGated>(p), (p.k_bytes + kRowBytes - 1) / kRowBytes, processors);
  }
  const int blocks = p.split > 1 ? single_tiles<kTokens, kGated>(p) * p.split : processors;
  return launch_overlapped(kernel,
                           OverlappedLaunch{.grid = dim3(static_cast<unsigned>(blocks)),
                                            .threads = kThreads,
                                            .shared_bytes = kSharedBytes,
                                            .stream = stream,
                                            .cluster = static_cast<unsigned>(p.split)},
                           p,
                           w_map,
                           x_map);
}

template <int kTokens>
cudaError_t choose(const GroupedGemm& g,
                   const Params& p,
                   const CUtensorMap& w_map,
                   const CUtensorMap& x_map,
                   cudaStream_t stream) {
  if (g.scales.data != nullptr) {
    return g.gated ? launch<kTokens, true, true>(p, w_map, x_map, stream)
                   : launch<kTokens, true, false>(p, w_map, x_map, stream);
  }
  return g.gated ? launch<kTokens, false, true>(p, w_map, x_map, stream)
                 : launch<kTokens, false, false>(p, w_map, x_map, stream);
}

}  // namespace

int grouped_tile_rows(int rows, int groups) {
  const int mean = (rows + groups - 1) / groups;
  return mean <= 12 ? 16 : mean <= 24 ? 32 : mean <= 48 ? 64 : 128;
}

cudaError_t grouped_gemm(const GroupedGemm& g,
                         const CUtensorMap& w_map,
                         const CUtensorMap& x_map,
                         cudaStream_t stream) {
  if (g.rows == 0 || g.n == 0) {
    return cudaSuccess;
  }
  const int value_bytes = g.scales.data != nullptr ? 1 : 2;
  const int width = g.gated ? g.n / 2 : g.n;
  if (g.rows < 0 || g.groups < 1 || g.groups > kGroupedMaxGroups || g.k * value_bytes % 16 != 0 ||
      width % 8 != 0 || g.y_stride % 8 != 0 || (g.gated && g.n % 2 != 0) ||
      (g.offsets == nullptr && g.groups != 1) || g.split < 0 || g.split > 8 ||
      (g.split & (g.split - 1)) != 0) {
    return cudaErrorInvalidValue;
  }
  const Params p{.y = static_cast<__nv_bfloat16*>(g.y),
                 .x = static_cast<const uint8_t*>(g.x),
                 .x_scales = g.x_scales,
                 .scales = g.scales,
                 .x_rows = g.x_rows,
                 .offsets = g.offsets,
                 .y_stride = g.y_stride,
                 .x_row_bytes = g.x_stride * value_bytes,
                 .x_scale_stride = g.x_scale_stride,
                 .rows = g.rows,
                 .groups = g.groups,
                 .n = g.n,
                 .k_bytes = g.k * value_bytes,
                 .split = g.split};
  switch (g.tile_rows) {
    case 16:
      return choose<16>(g, p, w_map, x_map, stream);
    case 32:
      return choose<32>(g, p, w_map, x_map, stream);
    case 64:
      return choose<64>(g, p, w_map, x_map, stream);
    case 128:
      return choose<128>(g, p, w_map, x_map, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace tutti::cuda
