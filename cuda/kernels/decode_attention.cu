// One query row per sequence against a paged cache: a pass over the keys and values at memory
// speed. The 16-key pieces of all (sequence, KV head) pairs are laid end to end and cut into equal
// shares, one per thread block ("stream-K", arXiv:2301.03598). Within a block four warps take
// pieces in turn, each with its own softmax state and its own ring of copies, so that nothing
// synchronises inside the loop; they meet in shared memory at the end of a pair. The query heads of
// a KV group are the rows of the matrix fragments. (Tried and slower: a warp by itself as the unit
// of sharing, 3.0 instead of 4.2 TB/s at 64 x 4096 keys.)
//
// What the step's first kernels wrote (lengths, block tables) and keys of earlier steps are read
// while the kernel before this one still runs: see overlap.cuh for why that is safe.
#include "cuda/kernels/attention_kernels.h"
#include "cuda/kernels/ptx.h"

namespace tutti::cuda {

namespace {

constexpr int kUnit = 16;  // keys of a piece
constexpr int kMostBlocksPerSm = 2;
constexpr int kMinUnits = 16;  // fewer for a block cost more in merging than they save
// What going from one pair to the next costs a block, as if the pair were so many pieces longer.
constexpr int kPairCost = 8;
constexpr int kWholeUnits = 32;
constexpr int kMaxGroup = 16;
constexpr int kMaxSequences = 4096;  // prefix sums in shared memory

// Many pairs take two blocks of four warps per multiprocessor. Where each pair can have a
// multiprocessor to itself, eight warps share its keys (a step of 7B at batch 1 and 192 keys takes
// as long with four).
template <int kHeadDim_, int kWarps_, int kStages_>
struct Plan {
  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kWarps = kWarps_;
  static constexpr int kStages = kStages_;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kBlocksPerSm = 8 / kWarps;
  static_assert(kBlocksPerSm <= kMostBlocksPerSm);
};

struct Params {
  __nv_bfloat16* out;
  const __nv_bfloat16* q;
  const __nv_bfloat16* k;
  const __nv_bfloat16* v;
  const int32_t* query_begin;
  const int32_t* context_before;
  const int32_t* block_table;
  float* partials;    // [blocks + pairs][group][head_dim + 2]
  int32_t* arrivals;  // [pairs], 0 between launches
  int64_t out_stride;
  int64_t q_stride;
  int table_stride;
  int sequences;
  int group;
  int kv_heads;
  int block_shift;
  float scale_log2;
};

template <class P>
struct Shared {
  // Rows of head_dim values; the 16-byte chunk c of row r lies at c ^ (r % 8).
  __nv_bfloat16 k[P::kWarps][P::kStages][kUnit * P::kHeadDim];
  __nv_bfloat16 v[P::kWarps][P::kStages][kUnit * P::kHeadDim];
  float largest[P::kWarps][kMaxGroup];
  float sum[P::kWarps][kMaxGroup];
  float weight[P::kWarps][kMaxGroup];
  int warp_units[P::kWarps];
  int last;
  int prefix[1];  // [sequences + 1], cost of one KV head of each sequence, summed up
};

template <class P>
__device__ __forceinline__ int swizzled(int row, int chunk) {
  return row * P::kHeadDim + ((chunk ^ (row & 7)) << 3);
}

__device__ __forceinline__ int units_of(const Params& p, int sequence) {
  return (p.context_before[sequence] + 1 + kUnit - 1) / kUnit;
}

// prefix[i] = cost of sequences 0 .. i - 1. A pair's pieces come first, then its kPairCost.
template <class P>
__device__ void count_units(const Params& p, Shared<P>& s) {
  const int t = static_cast<int>(threadIdx.x);
  const int lane = t % 32;
  const int each = (p.sequences + P::kThreads - 1) / P::kThreads;
  const int begin = min(t * each, p.sequences);
  const int end = min(begin + each, p.sequences);
  int mine = 0;
  for (int i = begin; i < end; ++i) {
    mine += units_of(p, i) + kPairCost;
  }
  int through = mine;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(0xFFFFFFFF, through, step);
    through += lane >= step ? other : 0;
  }
  if (lane == 31) {
    s.warp_units[t / 32] = through;
  }
  __syncthreads();
  int before = through - mine;
  for (int w = 0; w < t / 32; ++w) {
    before += s.warp_units[w];
  }
  for (int i = begin; i < end; ++i) {
    s.prefix[i] = before;
    before += units_of(p, i) + kPairCost;
  }
  if (t == P::kThreads - 1) {
    s.prefix[p.sequences] = before;
  }
  __syncthreads();
}

// The share that unit `unit` of `units` falls into when there are `shares` of them.
__device__ __forceinline__ int share_of(int64_t unit, int64_t units, int64_t shares) {
  return static_cast<int>(((unit + 1) * shares - 1) / units);
}

// Pairs of up to this many pieces are not cut where there are enough of them to go round: a pair
// belongs to the share that its first piece falls in.
__device__ __forceinline__ int whole_units(const Params& p, int64_t shares) {
  return int64_t{p.sequences} * p.kv_heads >= shares ? kWholeUnits : 0;
}

// How many blocks get work. Nearly as many blocks as pairs would cut every pair of a uniform batch
// in two, and merging costs more than a few idle blocks: then there are as many shares as pairs.
__device__ __forceinline__ int64_t share_count(const Params& p, int64_t cost) {
  const int64_t pairs = int64_t{p.sequences} * p.kv_heads;
  const int64_t blocks = gridDim.x;
  // A pair to itself costs no merging, however short it is.
  const int64_t shares = max(min(blocks, cost / (kMinUnits + kPairCost)), min(blocks, pairs));
  return pairs <= shares && shares * 8 < pairs * 9 ? pairs : shares;
}

// One (sequence, KV head) pair, and which of its pieces this block computes.
struct Item {
  int sequence;
  int query;  ///< its row
  int kv_head;
  int keys;
  int begin;
  int end;
};

// Softmax state of a warp: two rows per thread.
template <class P>
struct State {
  float o[P::kHeadDim / 8][4];
  float largest[2];
  float sum[2];
};

template <class P>
class Pieces {
 public:
  __device__ Pieces(const Params& p, const Item& item, Shared<P>& s)
      : p_(p),
        item_(item),
        s_(s),
        warp_(static_cast<int>(threadIdx.x) / 32),
        first_(item.begin + warp_),
        lane_(static_cast<int>(threadIdx.x) % 32),
        table_(p.block_table + static_cast<int64_t>(item.sequence) * p.table_stride) {}

  __device__ int count() const { return max(0, (item_.end - first_ + P::kWarps - 1) / P::kWarps); }

  // Starts the copy of this warp's i-th piece; always commits a group, so that counting works.
  __device__ void fetch(int i) {
    if (i < count()) {
      const int unit = first_ + i * P::kWarps;
      const int key0 = unit * kUnit;
      if (key0 + kUnit >= item_.keys) {
        wait_for_previous_kernel();  // the newest key may be its work; older ones are long there
      }
      if (i % 32 == 0) {
        const int ahead = unit + lane_ * P::kWarps;
        block_ = ahead < item_.end ? table_[(ahead * kUnit) >> p_.block_shift] : 0;
      }
      const int64_t block = __shfl_sync(0xFFFFFFFF, block_, i % 32);
      const int64_t row0 = (block << p_.block_shift) + (key0 & ((1 << p_.block_shift) - 1));
      const int64_t stride = int64_t{p_.kv_heads} * P::kHeadDim;
      const int64_t base = row0 * stride + int64_t{item_.kv_head} * P::kHeadDim;
      __nv_bfloat16* k = s_.k[warp_][i % P::kStages];
      __nv_bfloat16* v = s_.v[warp_][i % P::kStages];
      constexpr int kChunks = P::kHeadDim / 8;
#pragma unroll
      for (int j = 0; j < kUnit * kChunks / 32; ++j) {
        const int index = j * 32 + lane_;
        const int row = index / kChunks;
        const int chunk = index % kChunks;
        const int64_t from = base + row * stride + chunk * 8;
        // Rows past the end may hold anything, NaN included; they become zeros.
        const bool valid = key0 + row < item_.keys;
        copy_async_16(k + swizzled<P>(row, chunk), p_.k + from, valid);
        copy_async_16(v + swizzled<P>(row, chunk), p_.v + from, valid);
      }
    }
    copy_async_commit();
  }

  __device__ void compute(int i, const uint32_t (&q)[P::kHeadDim / 16][4], State<P>& state) {
    const uint32_t k = smem_address(s_.k[warp_][i % P::kStages]);
    const uint32_t v = smem_address(s_.v[warp_][i % P::kStages]);
    float scores[2][4] = {};
    const int k_row = (lane_ / 16) * 8 + lane_ % 8;
#pragma unroll
    for (int step = 0; step < P::kHeadDim / 16; ++step) {
      uint32_t b[4];
      load_matrix_x4(b, k + 2 * swizzled<P>(k_row, step * 2 + (lane_ / 8) % 2));
      mma_bf16(scores[0], q[step], b[0], b[1]);
      mma_bf16(scores[1], q[step], b[2], b[3]);
    }
    const int key0 = (first_ + i * P::kWarps) * kUnit + 2 * (lane_ % 4);
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float largest = state.largest[r];
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          float& value = scores[n][2 * r + j];
          value = key0 + n * 8 + j < item_.keys ? value : -INFINITY;
          largest = fmaxf(largest, value);
        }
      }
      largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFF, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFF, largest, 2));
      // Every piece holds a valid key, so the maximum is finite unless a score is NaN or -inf
      // itself.
      const float base = largest == -INFINITY ? 0.0F : largest * p_.scale_log2;
      factor[r] = exp2_fast(state.largest[r] * p_.scale_log2 - base);
      state.largest[r] = largest;
      float sum = state.sum[r] * factor[r];
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          float& value = scores[n][2 * r + j];
          value = exp2_fast(fmaf(value, p_.scale_log2, -base));
          sum += value;
        }
      }
      state.sum[r] = sum;
    }
    if (__any_sync(0xFFFFFFFF, factor[0] != 1.0F || factor[1] != 1.0F)) {
#pragma unroll
      for (int n = 0; n < P::kHeadDim / 8; ++n) {
        state.o[n][0] *= factor[0];
        state.o[n][1] *= factor[0];
        state.o[n][2] *= factor[1];
        state.o[n][3] *= factor[1];
      }
    }
    const uint32_t a[4] = {pack_bf16(scores[0][0], scores[0][1]),
                           pack_bf16(scores[0][2], scores[0][3]),
                           pack_bf16(scores[1][0], scores[1][1]),
                           pack_bf16(scores[1][2], scores[1][3])};
    const int v_row = ((lane_ / 8) % 2) * 8 + lane_ % 8;
#pragma unroll
    for (int n = 0; n < P::kHeadDim / 16; ++n) {
      uint32_t b[4];
      load_matrix_x4_transposed(b, v + 2 * swizzled<P>(v_row, n * 2 + lane_ / 16));
      mma_bf16(state.o[2 * n], a, b[0], b[1]);
      mma_bf16(state.o[2 * n + 1], a, b[2], b[3]);
    }
  }

 private:
  const Params& p_;
  const Item& item_;
  Shared<P>& s_;
  const int warp_;
  const int first_;  // this warp's first piece
  const int lane_;
  const int32_t* table_;
  int block_ = 0;
};

template <class P>
__device__ void load_query(const Params& p,
                           const __nv_bfloat16* rows,
                           uint32_t (&q)[P::kHeadDim / 16][4]) {
  wait_for_previous_kernel();
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int step = 0; step < P::kHeadDim / 16; ++step) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = lane / 4 + (j % 2) * 8;
      const int column = step * 16 + (j / 2) * 8 + 2 * (lane % 4);
      q[step][j] = row < p.group
                       ? *reinterpret_cast<const uint32_t*>(rows + row * P::kHeadDim + column)
                       : 0U;
    }
  }
}

// Where a warp leaves its sums once its copies are used up: [group][head_dim] f32.
template <class P>
__device__ float* warp_area(Shared<P>& s, int warp) {
  static_assert(sizeof(s.k[0]) >= kMaxGroup * P::kHeadDim * sizeof(float));
  return reinterpret_cast<float*>(s.k[warp][0]);
}

template <class P>
__device__ void publish(const Params& p, const State<P>& state, Shared<P>& s) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float* area = warp_area(s, warp);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = lane / 4 + 8 * r;
    float sum = state.sum[r];
    sum += __shfl_xor_sync(0xFFFFFFFF, sum, 1);
    sum += __shfl_xor_sync(0xFFFFFFFF, sum, 2);
    if (row >= p.group) {
      continue;
    }
    if (lane % 4 == 0) {
      s.largest[warp][row] = state.largest[r];
      s.sum[warp][row] = sum;
    }
#pragma unroll
    for (int n = 0; n < P::kHeadDim / 8; ++n) {
      *reinterpret_cast<float2*>(area + row * P::kHeadDim + n * 8 + 2 * (lane % 4)) =
          float2{state.o[n][2 * r], state.o[n][2 * r + 1]};
    }
  }
}

__device__ __forceinline__ float weight_of(float largest, float of_all, float scale_log2) {
  return largest == -INFINITY ? 0.0F : exp2_fast((largest - of_all) * scale_log2);
}

// The last block of a pair adds up what all of its blocks found, in their order.
template <class P>
__device__ void merge(const Params& p, const Item& item, int item_index, int first, int last) {
  const int width = P::kHeadDim + 2;
  const int64_t slot_floats = int64_t{p.group} * width;
  __nv_bfloat16* out = p.out + static_cast<int64_t>(item.query) * p.out_stride +
                       static_cast<int64_t>(item.kv_head) * p.group * P::kHeadDim;
  for (int i = static_cast<int>(threadIdx.x); i < p.group * P::kHeadDim; i += P::kThreads) {
    const int row = i / P::kHeadDim;
    const int column = i % P::kHeadDim;
    const float* rows = p.partials + (int64_t{first} + item_index) * slot_floats + row * width;
    float of_all = -INFINITY;
    for (int c = first; c <= last; ++c) {
      of_all = fmaxf(of_all, __ldcg(rows + (c - first) * slot_floats + P::kHeadDim));
    }
    float sum = 0.0F;
    float value = 0.0F;
    for (int c = first; c <= last; ++c) {
      const float* part = rows + (c - first) * slot_floats;
      const float w = weight_of(__ldcg(part + P::kHeadDim), of_all, p.scale_log2);
      sum += w * __ldcg(part + P::kHeadDim + 1);
      value += w * __ldcg(part + column);
    }
    out[i] = __float2bfloat16(value / sum);
  }
}

template <class P>
__device__ void finish(
    const Params& p, const Item& item, int item_index, int first, int last, Shared<P>& s) {
  constexpr int kVector = 4;  // columns of a thread
  const int width = P::kHeadDim + 2;
  float* slot = p.partials + (int64_t{blockIdx.x} + item_index) * p.group * width;
  // What each warp's sums count in each row; P::kThreads suffice for kMaxGroup rows.
  for (int i = static_cast<int>(threadIdx.x); i < P::kWarps * p.group; i += P::kThreads) {
    const int row = i / P::kWarps;
    float of_all = -INFINITY;
#pragma unroll
    for (int w = 0; w < P::kWarps; ++w) {
      of_all = fmaxf(of_all, s.largest[w][row]);
    }
    float sum = 0.0F;
#pragma unroll
    for (int w = 0; w < P::kWarps; ++w) {
      sum += weight_of(s.largest[w][row], of_all, p.scale_log2) * s.sum[w][row];
    }
    const int warp = i % P::kWarps;
    const float weight = weight_of(s.largest[warp][row], of_all, p.scale_log2);
    s.weight[warp][row] = first == last ? weight / sum : weight;
    if (first != last && warp == 0) {
      slot[row * width + P::kHeadDim] = of_all;
      slot[row * width + P::kHeadDim + 1] = sum;
    }
  }
  __syncthreads();
  __nv_bfloat16* out = p.out + static_cast<int64_t>(item.query) * p.out_stride +
                       static_cast<int64_t>(item.kv_head) * p.group * P::kHeadDim;
  for (int i = static_cast<int>(threadIdx.x) * kVector; i < p.group * P::kHeadDim;
       i += P::kThreads * kVector) {
    const int row = i / P::kHeadDim;
    float4 value{0, 0, 0, 0};
#pragma unroll
    for (int w = 0; w < P::kWarps; ++w) {
      const float4 part = *reinterpret_cast<const float4*>(warp_area(s, w) + i);
      const float weight = s.weight[w][row];
      value.x += weight * part.x;
      value.y += weight * part.y;
      value.z += weight * part.z;
      value.w += weight * part.w;
    }
    if (first == last) {
      *reinterpret_cast<uint2*>(out + i) =
          uint2{pack_bf16(value.x, value.y), pack_bf16(value.z, value.w)};
    } else {
      float* to = slot + row * width + i % P::kHeadDim;
      to[0] = value.x;
      to[1] = value.y;
      to[2] = value.z;
      to[3] = value.w;
    }
  }
  if (first == last) {
    return;
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    const int before = atomicAdd(&p.arrivals[item_index], 1);
    s.last = before == last - first ? 1 : 0;
    if (s.last != 0) {
      p.arrivals[item_index] = 0;  // as the next launch wants it
    }
  }
  __syncthreads();
  if (s.last != 0) {
    __threadfence();
    merge<P>(p, item, item_index, first, last);
  }
}

template <class P>
__device__ void work_on(
    const Params& p, const Item& item, int item_index, int first, int last, Shared<P>& s) {
  Pieces<P> pieces(p, item, s);
  const __nv_bfloat16* query = p.q + static_cast<int64_t>(item.query) * p.q_stride +
                               static_cast<int64_t>(item.kv_head) * p.group * P::kHeadDim;
#pragma unroll
  for (int i = 0; i < P::kStages; ++i) {
    pieces.fetch(i);
  }
  // Not earlier: the weights that the next kernel asks for would be ahead of these keys and values.
  let_next_kernel_start();
  uint32_t q[P::kHeadDim / 16][4];
  load_query<P>(p, query, q);
  State<P> state{};
  state.largest[0] = -INFINITY;
  state.largest[1] = -INFINITY;
  const int count = pieces.count();
  for (int i = 0; i < count; ++i) {
    copy_async_wait<P::kStages - 1>();
    __syncwarp();
    pieces.compute(i, q, state);
    __syncwarp();
    pieces.fetch(i + P::kStages);
  }
  copy_async_wait<0>();
  __syncthreads();
  publish<P>(p, state, s);
  __syncthreads();
  finish<P>(p, item, item_index, first, last, s);
  __syncthreads();
}

template <class P>
__global__ void __launch_bounds__(P::kThreads, P::kBlocksPerSm)
    decode_attention_kernel(const __grid_constant__ Params p) {
  extern __shared__ __align__(128) uint8_t raw[];
  Shared<P>& s = *reinterpret_cast<Shared<P>*>(raw);
  count_units(p, s);
  const int64_t cost = int64_t{s.prefix[p.sequences]} * p.kv_heads;
  const int64_t share = blockIdx.x;
  const int64_t shares = share_count(p, cost);
  if (share >= shares) {
    return;
  }
  const int whole_limit = whole_units(p, shares);
  int64_t at = share * cost / shares;
  const int64_t end = (share + 1) * cost / shares;
  // Binary search for the sequence of the first piece.
  int sequence = 0;
  for (int high = p.sequences; high - sequence > 1;) {
    const int middle = (sequence + high) / 2;
    if (int64_t{s.prefix[middle]} * p.kv_heads <= at) {
      sequence = middle;
    } else {
      high = middle;
    }
  }
  while (at < end) {
    const int pair_cost = s.prefix[sequence + 1] - s.prefix[sequence];
    const int units = pair_cost - kPairCost;
    const int64_t sequence_begin = int64_t{s.prefix[sequence]} * p.kv_heads;
    const int kv_head = static_cast<int>((at - sequence_begin) / pair_cost);
    const int64_t pair_begin = sequence_begin + int64_t{kv_head} * pair_cost;
    const bool whole = units <= whole_limit;
    Item item{.sequence = sequence,
              .query = p.query_begin[sequence],
              .kv_head = kv_head,
              .keys = p.context_before[sequence] + 1,
              .begin = static_cast<int>(at - pair_begin),
              .end = static_cast<int>(min(end - pair_begin, int64_t{units}))};
    if (whole) {
      item.end = item.begin == 0 ? units : 0;  // begun before: another block has it
    }
    if (item.begin < item.end) {
      const int first = share_of(pair_begin, cost, shares);
      const int last = whole ? first : share_of(pair_begin + units - 1, cost, shares);
      work_on<P>(p, item, sequence * p.kv_heads + kv_head, first, last, s);
    }
    at = pair_begin + pair_cost;
    if (at == sequence_begin + int64_t{pair_cost} * p.kv_heads) {
      ++sequence;
    }
  }
}

template <class P>
cudaError_t launch(const Params& params, int sms, cudaStream_t stream) {
  const int shared_bytes =
      static_cast<int>(sizeof(Shared<P>) + sizeof(int) * static_cast<size_t>(params.sequences));
  const cudaError_t code = cudaFuncSetAttribute(
      decode_attention_kernel<P>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  if (code != cudaSuccess) {
    return code;
  }
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(sms * P::kBlocksPerSm));
  config.blockDim = dim3(P::kThreads);
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, decode_attention_kernel<P>, params);
}

}  // namespace

int64_t decode_partials(int sequences, int heads, int kv_heads, int head_dim, int sms) {
  const int64_t slots = int64_t{sms} * kMostBlocksPerSm + int64_t{sequences} * kv_heads;
  return slots * (heads / kv_heads) * (head_dim + 2);
}

cudaError_t decode_attention(const PagedAttention& a,
                             const DecodeScratch& scratch,
                             int sms,
                             cudaStream_t stream) {
  if (a.sequences > kMaxSequences) {
    return cudaErrorInvalidValue;
  }
  const Params params{.out = static_cast<__nv_bfloat16*>(a.out),
                      .q = static_cast<const __nv_bfloat16*>(a.q),
                      .k = static_cast<const __nv_bfloat16*>(a.k_cache),
                      .v = static_cast<const __nv_bfloat16*>(a.v_cache),
                      .query_begin = a.query_begin,
                      .context_before = a.context_before,
                      .block_table = a.block_table,
                      .partials = scratch.partials,
                      .arrivals = scratch.arrivals,
                      .out_stride = a.out_stride,
                      .q_stride = a.q_stride,
                      .table_stride = a.table_stride,
                      .sequences = a.sequences,
                      .group = a.heads / a.kv_heads,
                      .kv_heads = a.kv_heads,
                      .block_shift = __builtin_ctz(static_cast<unsigned>(a.block_size)),
                      .scale_log2 = a.scale * kLog2E};
  const bool wide = int64_t{a.sequences} * a.kv_heads <= sms;
  if (a.head_dim == 128) {
    return wide ? launch<Plan<128, 8, 2>>(params, sms, stream)
                : launch<Plan<128, 4, 3>>(params, sms, stream);
  }
  return wide ? launch<Plan<64, 8, 2>>(params, sms, stream)
              : launch<Plan<64, 4, 3>>(params, sms, stream);
}

}  // namespace tutti::cuda
