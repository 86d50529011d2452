// The fast CUDA kernels by themselves: right against plain loops, then timed against the rates
// measured in the same run. Usage: kernel_bench [check|time|all]. Ends with one table; exits 1 if a
// result is wrong.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "cuda/kernels/attention_kernels.h"
#include "cuda/kernels/skinny_gemm.h"

// tensor_map.cc speaks Status, which nvcc's front end cannot read; bench_tensor_map.cc wraps it.
bool bench_tensor_map(const void* data, int64_t rows, int64_t cols, int box_rows, CUtensorMap* out);

namespace {

using tutti::cuda::DecodeScratch;
using tutti::cuda::PagedAttention;
using tutti::cuda::SkinnyGemm;
using bf16 = __nv_bfloat16;

#define CHECK(call)                                                                         \
  do {                                                                                      \
    const cudaError_t code_ = (call);                                                       \
    if (code_ != cudaSuccess) {                                                             \
      std::printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(code_)); \
      std::exit(1);                                                                         \
    }                                                                                       \
  } while (0)

template <typename T>
struct Array {
  explicit Array(int64_t n) : count(n) {
    CHECK(cudaMalloc(&data, static_cast<size_t>(n) * sizeof(T)));
  }

  ~Array() { cudaFree(data); }

  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  void set(const std::vector<T>& v) {
    CHECK(cudaMemcpy(data, v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice));
  }

  std::vector<T> get() const {
    std::vector<T> v(static_cast<size_t>(count));
    CHECK(cudaMemcpy(v.data(), data, v.size() * sizeof(T), cudaMemcpyDeviceToHost));
    return v;
  }

  T* data = nullptr;
  int64_t count;
};

__global__ void fill_kernel(bf16* to, int64_t n, float scale, uint64_t seed) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n;
       i += int64_t{gridDim.x} * blockDim.x) {
    uint64_t z = seed + static_cast<uint64_t>(i) * 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    z ^= z >> 31;
    // Sum of four uniforms: near enough to normal.
    float sum = 0.0F;
    for (int k = 0; k < 4; ++k) {
      sum += static_cast<float>((z >> (16 * k)) & 0xFFFF) / 65536.0F - 0.5F;
    }
    to[i] = __float2bfloat16(sum * 1.7320508F * scale);
  }
}

void fill(bf16* to, int64_t n, float scale, uint64_t seed) {
  fill_kernel<<<1024, 256>>>(to, n, scale, seed);
  CHECK(cudaGetLastError());
}

__global__ void read_kernel(const uint4* from, int64_t n, uint32_t* out) {
  uint32_t sum = 0;
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n; i += 4 * step) {
    uint4 v[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      v[j] = i + j * step < n ? __ldcs(from + i + j * step) : uint4{0, 0, 0, 0};
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      sum ^= v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
    }
  }
  if (sum == 0x12345678U) {
    *out = sum;
  }
}

// One warp per (query row, head): plain softmax in f32 over the bf16 inputs.
__global__ void reference_attention(PagedAttention a, float* out) {
  extern __shared__ float scores[];
  const int row = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y);
  const int lane = static_cast<int>(threadIdx.x);
  int s = 0;
  while (a.query_begin[s + 1] <= row) {
    ++s;
  }
  const int keys = a.context_before[s] + (row - a.query_begin[s]) + 1;
  const int kv_head = head / (a.heads / a.kv_heads);
  const bf16* q = static_cast<const bf16*>(a.q) + row * a.q_stride + int64_t{head} * a.head_dim;
  const auto at = [&](int key) {
    const int64_t block = a.block_table[int64_t{s} * a.table_stride + key / a.block_size];
    return ((block * a.block_size + key % a.block_size) * a.kv_heads + kv_head) * a.head_dim;
  };
  float largest = -INFINITY;
  for (int key = lane; key < keys; key += 32) {
    const bf16* k = static_cast<const bf16*>(a.k_cache) + at(key);
    float dot = 0.0F;
    for (int d = 0; d < a.head_dim; ++d) {
      dot += __bfloat162float(q[d]) * __bfloat162float(k[d]);
    }
    scores[key] = dot * a.scale;
    largest = fmaxf(largest, scores[key]);
  }
  for (int step = 16; step > 0; step /= 2) {
    largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFF, largest, step));
  }
  __syncwarp();
  float sum = 0.0F;
  for (int key = lane; key < keys; key += 32) {
    scores[key] = expf(scores[key] - largest);
    sum += scores[key];
  }
  for (int step = 16; step > 0; step /= 2) {
    sum += __shfl_xor_sync(0xFFFFFFFF, sum, step);
  }
  __syncwarp();
  for (int d = lane; d < a.head_dim; d += 32) {
    float value = 0.0F;
    for (int key = 0; key < keys; ++key) {
      value += scores[key] * __bfloat162float(static_cast<const bf16*>(a.v_cache)[at(key) + d]);
    }
    out[(int64_t{row} * a.heads + head) * a.head_dim + d] = value / sum;
  }
}

__global__ void reference_gemm(SkinnyGemm g, float* out) {
  const int n = static_cast<int>(blockIdx.x);
  const int row = static_cast<int>(blockIdx.y);
  const int lane = static_cast<int>(threadIdx.x);
  const bf16* x = static_cast<const bf16*>(g.x) + row * g.x_stride;
  const auto dot = [&](int64_t output) {
    const bf16* w = static_cast<const bf16*>(g.w) + output * g.k;
    double sum = 0.0;
    for (int k = lane; k < g.k; k += 32) {
      sum += static_cast<double>(__bfloat162float(x[k]) * __bfloat162float(w[k]));
    }
    for (int step = 16; step > 0; step /= 2) {
      sum += __shfl_xor_sync(0xFFFFFFFF, sum, step);
    }
    return static_cast<float>(sum);
  };
  float value = dot(n);
  int width = g.n;
  if (g.gated) {
    width = g.n / 2;
    value = value / (1.0F + expf(-value)) * dot(width + n);
  } else if (g.bias != nullptr) {
    value += g.bias[n];
  }
  if (lane == 0) {
    out[int64_t{row} * width + n] = value;
  }
}

struct Row {
  std::string name;
  std::string result;
  bool good = true;
};

std::vector<Row> table;
double read_rate = 0.0;   // bytes per second
double flops_rate = 0.0;  // the card's dense bf16 rate, for the percentage

float time_ms(int launches, const std::function<void(int)>& launch, cudaStream_t stream = nullptr) {
  cudaEvent_t begin;
  cudaEvent_t end;
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreate(&end));
  for (int i = 0; i < 3; ++i) {
    launch(i);
  }
  float best = 1e30F;
  for (int round = 0; round < 3; ++round) {
    CHECK(cudaEventRecord(begin, stream));
    for (int i = 0; i < launches; ++i) {
      launch(i);
    }
    CHECK(cudaEventRecord(end, stream));
    CHECK(cudaEventSynchronize(end));
    float ms = 0.0F;
    CHECK(cudaEventElapsedTime(&ms, begin, end));
    best = std::min(best, ms / static_cast<float>(launches));
  }
  CHECK(cudaEventDestroy(begin));
  CHECK(cudaEventDestroy(end));
  return best;
}

void report_bytes(const std::string& name, float ms, double bytes) {
  const double rate = bytes / (ms * 1e-3);
  char text[160];
  std::snprintf(text,
                sizeof(text),
                "%9.2f us %8.1f MB %6.2f TB/s %5.1f %% of read",
                ms * 1e3,
                bytes / 1e6,
                rate / 1e12,
                100.0 * rate / read_rate);
  table.push_back({name, text});
}

void report_flops(const std::string& name, float ms, double flops) {
  const double rate = flops / (ms * 1e-3);
  char text[160];
  std::snprintf(text,
                sizeof(text),
                "%9.2f us %8.1f GF %6.1f TFLOP/s %5.1f %% of 750",
                ms * 1e3,
                flops / 1e9,
                rate / 1e12,
                100.0 * rate / flops_rate);
  table.push_back({name, text});
}

void compare(const std::string& name,
             const std::vector<float>& want,
             const std::vector<float>& got,
             double bound) {
  double error2 = 0.0;
  double want2 = 0.0;
  double worst = 0.0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double d = static_cast<double>(got[i]) - want[i];
    error2 += d * d;
    want2 += static_cast<double>(want[i]) * want[i];
    worst = std::isfinite(d) ? std::max(worst, std::abs(d)) : INFINITY;
  }
  const double nmse = error2 / want2;
  const bool good = std::isfinite(worst) && nmse <= bound;
  char text[160];
  std::snprintf(text, sizeof(text), "nmse %.2e worst %.2e %s", nmse, worst, good ? "ok" : "WRONG");
  table.push_back({name, text, good});
}

std::vector<float> floats(const std::vector<bf16>& v) {
  std::vector<float> out;
  out.reserve(v.size());
  for (const bf16 x : v) {
    out.push_back(__bfloat162float(x));
  }
  return out;
}

// A batch with scattered blocks; unused slots hold NaN, as they may.
struct Problem {
  Problem(int heads,
          int kv_heads,
          int head_dim,
          int block_size,
          const std::vector<int>& contexts,
          const std::vector<int>& queries,
          bool poison)
      : tokens(sum(queries)),
        blocks(count_blocks(contexts, queries, block_size)),
        q(int64_t{tokens} * heads * head_dim),
        k(blocks * block_size * kv_heads * head_dim),
        v(blocks * block_size * kv_heads * head_dim),
        out(int64_t{tokens} * heads * head_dim),
        query_begin(static_cast<int64_t>(queries.size()) + 1),
        context(static_cast<int64_t>(queries.size())),
        block_table(static_cast<int64_t>(queries.size()) *
                    table_width(contexts, queries, block_size)) {
    fill(q.data, q.count, 1.0F, 1);
    fill(k.data, k.count, 1.0F, 2);
    fill(v.data, v.count, 1.0F, 3);
    std::vector<int32_t> order(static_cast<size_t>(blocks));
    for (size_t i = 0; i < order.size(); ++i) {
      order[i] = static_cast<int32_t>(i);
    }
    std::mt19937 random(7);
    std::shuffle(order.begin(), order.end(), random);
    const int width = table_width(contexts, queries, block_size);
    std::vector<int32_t> begin{0};
    std::vector<int32_t> rows(queries.size() * static_cast<size_t>(width), 0);
    size_t next = 0;
    const int64_t slot = int64_t{kv_heads} * head_dim;
    const std::vector<bf16> nan(static_cast<size_t>(block_size * slot), __float2bfloat16(NAN));
    for (size_t i = 0; i < queries.size(); ++i) {
      begin.push_back(begin.back() + queries[i]);
      const int keys = contexts[i] + queries[i];
      for (int b = 0; b * block_size < keys; ++b) {
        const int32_t block = order[next++];
        rows[i * static_cast<size_t>(width) + static_cast<size_t>(b)] = block;
        const int used = std::min(block_size, keys - b * block_size);
        if (poison && used < block_size) {
          const int64_t at = (int64_t{block} * block_size + used) * slot;
          const size_t bytes = static_cast<size_t>((block_size - used) * slot) * sizeof(bf16);
          CHECK(cudaMemcpy(k.data + at, nan.data(), bytes, cudaMemcpyHostToDevice));
          CHECK(cudaMemcpy(v.data + at, nan.data(), bytes, cudaMemcpyHostToDevice));
        }
      }
    }
    query_begin.set(begin);
    context.set(contexts);
    block_table.set(rows);
    a = {.out = out.data,
         .q = q.data,
         .k_cache = k.data,
         .v_cache = v.data,
         .query_begin = query_begin.data,
         .context_before = context.data,
         .block_table = block_table.data,
         .out_stride = int64_t{heads} * head_dim,
         .q_stride = int64_t{heads} * head_dim,
         .tokens = tokens,
         .blocks = blocks,
         .table_stride = width,
         .sequences = static_cast<int>(queries.size()),
         .heads = heads,
         .kv_heads = kv_heads,
         .head_dim = head_dim,
         .block_size = block_size,
         .scale = 1.0F / std::sqrt(static_cast<float>(head_dim))};
    longest = 0;
    for (size_t i = 0; i < queries.size(); ++i) {
      longest = std::max(longest, contexts[i] + queries[i]);
    }
    if (!bench_tensor_map(k.data, blocks * block_size, slot, block_size, &k_map) ||
        !bench_tensor_map(v.data, blocks * block_size, slot, block_size, &v_map)) {
      std::printf("no tensor map\n");
      std::exit(1);
    }
  }

  static int sum(const std::vector<int>& v) {
    int total = 0;
    for (const int x : v) {
      total += x;
    }
    return total;
  }

  static int table_width(const std::vector<int>& contexts,
                         const std::vector<int>& queries,
                         int block_size) {
    int width = 1;
    for (size_t i = 0; i < queries.size(); ++i) {
      width = std::max(width, (contexts[i] + queries[i] + block_size - 1) / block_size);
    }
    return width;
  }

  static int64_t count_blocks(const std::vector<int>& contexts,
                              const std::vector<int>& queries,
                              int block_size) {
    int64_t total = 3;
    for (size_t i = 0; i < queries.size(); ++i) {
      total += (contexts[i] + queries[i] + block_size - 1) / block_size;
    }
    return total;
  }

  std::vector<float> reference() const {
    Array<float> want(out.count);
    const dim3 grid(static_cast<unsigned>(tokens), static_cast<unsigned>(a.heads));
    const int bytes = longest * static_cast<int>(sizeof(float));
    CHECK(cudaFuncSetAttribute(
        reference_attention, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    reference_attention<<<grid, 32, static_cast<size_t>(bytes)>>>(a, want.data);
    CHECK(cudaGetLastError());
    return want.get();
  }

  int tokens;
  int64_t blocks;
  Array<bf16> q;
  Array<bf16> k;
  Array<bf16> v;
  Array<bf16> out;
  Array<int32_t> query_begin;
  Array<int32_t> context;
  Array<int32_t> block_table;
  PagedAttention a;
  int longest = 0;
  CUtensorMap k_map{};
  CUtensorMap v_map{};
};

struct Scratch {
  Scratch(const PagedAttention& a, int sms)
      : partials(tutti::cuda::decode_partials(a.sequences, a.heads, a.kv_heads, a.head_dim, sms)),
        arrivals(int64_t{a.sequences} * a.kv_heads) {
    CHECK(cudaMemset(arrivals.data, 0, static_cast<size_t>(arrivals.count) * sizeof(int32_t)));
    scratch = {.partials = partials.data, .arrivals = arrivals.data};
  }

  Array<float> partials;
  Array<int32_t> arrivals;
  DecodeScratch scratch;
};

constexpr double kBf16Bound = 3e-5;  // rounding of probabilities and result: 2 * 2^-18 / 3 and some

void check_prefill(int heads,
                   int kv_heads,
                   int head_dim,
                   int block_size,
                   const std::vector<int>& contexts,
                   const std::vector<int>& queries) {
  Problem p(heads, kv_heads, head_dim, block_size, contexts, queries, true);
  CHECK(cudaMemset(p.out.data, 0xFF, static_cast<size_t>(p.out.count) * sizeof(bf16)));
  CHECK(tutti::cuda::prefill_attention(p.a, p.k_map, p.v_map, nullptr));
  CHECK(cudaDeviceSynchronize());
  char name[120];
  std::snprintf(name,
                sizeof(name),
                "prefill h%d/%d d%d b%d s%zu q%d c%d",
                heads,
                kv_heads,
                head_dim,
                block_size,
                queries.size(),
                queries[0],
                contexts[0]);
  compare(name, p.reference(), floats(p.out.get()), kBf16Bound);
}

void check_decode(int heads,
                  int kv_heads,
                  int head_dim,
                  int block_size,
                  const std::vector<int>& contexts,
                  int sms) {
  Problem p(
      heads, kv_heads, head_dim, block_size, contexts, std::vector<int>(contexts.size(), 1), true);
  const Scratch s(p.a, sms);
  std::vector<float> first;
  for (int round = 0; round < 2; ++round) {
    CHECK(cudaMemset(p.out.data, 0xFF, static_cast<size_t>(p.out.count) * sizeof(bf16)));
    CHECK(tutti::cuda::decode_attention(p.a, s.scratch, sms, nullptr));
    CHECK(cudaDeviceSynchronize());
    const std::vector<float> got = floats(p.out.get());
    if (round == 1 && std::memcmp(got.data(), first.data(), got.size() * sizeof(float)) != 0) {
      table.push_back({"decode twice", "different bits WRONG", false});
    }
    first = got;
  }
  char name[120];
  std::snprintf(name,
                sizeof(name),
                "decode h%d/%d d%d b%d s%zu c%d",
                heads,
                kv_heads,
                head_dim,
                block_size,
                contexts.size(),
                contexts[0]);
  compare(name, p.reference(), first, kBf16Bound);
}

void check_gemm(int rows, int n, int k, bool gated, bool f32, bool bias) {
  Array<bf16> x(int64_t{rows} * k);
  Array<bf16> w(int64_t{n} * k);
  Array<float> b(n);
  const int width = gated ? n / 2 : n;
  Array<float> y32(int64_t{rows} * width);
  Array<bf16> y16(int64_t{rows} * width);
  Array<float> want(int64_t{rows} * width);
  fill(x.data, x.count, 1.0F, 4);
  fill(w.data, w.count, 1.0F / std::sqrt(static_cast<float>(k)), 5);
  std::vector<float> biases(static_cast<size_t>(n));
  for (size_t i = 0; i < biases.size(); ++i) {
    biases[i] = static_cast<float>(i % 17) * 0.25F - 2.0F;
  }
  b.set(biases);
  const SkinnyGemm g{.y = f32 ? static_cast<void*>(y32.data) : y16.data,
                     .x = x.data,
                     .w = w.data,
                     .bias = bias ? b.data : nullptr,
                     .y_stride = width,
                     .x_stride = k,
                     .rows = rows,
                     .n = n,
                     .k = k,
                     .f32_out = f32,
                     .gated = gated};
  CHECK(tutti::cuda::skinny_gemm(g, nullptr));
  reference_gemm<<<dim3(static_cast<unsigned>(width), static_cast<unsigned>(rows)), 32>>>(
      g, want.data);
  CHECK(cudaDeviceSynchronize());
  char name[120];
  std::snprintf(name,
                sizeof(name),
                "gemm m%d n%d k%d%s%s%s",
                rows,
                n,
                k,
                gated ? " gated" : "",
                f32 ? " f32" : "",
                bias ? " bias" : "");
  compare(name, want.get(), f32 ? y32.get() : floats(y16.get()), f32 ? 1e-11 : 1e-5);
}

void check_all(int sms) {
  check_prefill(28, 4, 128, 16, {0}, {300});
  check_prefill(32, 8, 128, 16, {0, 5, 130, 1000}, {129, 7, 64, 1});
  check_prefill(8, 8, 64, 16, {0, 77}, {257, 33});
  check_prefill(12, 2, 128, 64, {17, 0}, {500, 1});
  check_prefill(4, 1, 64, 128, {640}, {130});
  check_prefill(14, 2, 64, 8, {3}, {90});
  check_prefill(16, 8, 128, 32, {0, 0, 0}, {128, 256, 1});
  check_decode(28, 4, 128, 16, {4095, 0, 15, 16, 17, 1000}, sms);
  check_decode(32, 8, 128, 16, {100}, sms);
  check_decode(8, 8, 64, 16, {3000, 1, 2}, sms);
  check_decode(12, 2, 128, 64, std::vector<int>(300, 50), sms);
  check_decode(16, 1, 128, 32, {12345}, sms);
  check_decode(4, 4, 64, 16, std::vector<int>(1000, 3), sms);
  for (const int rows : {1, 2, 7, 8, 9, 16}) {
    check_gemm(rows, 4608, 3584, false, false, true);
  }
  check_gemm(1, 100, 72, false, true, false);
  check_gemm(5, 33, 8, false, false, false);
  check_gemm(16, 1000, 18944, false, true, true);
  check_gemm(1, 2 * 1111, 3584, true, false, false);
  check_gemm(13, 37888, 3584, true, false, false);
}

void time_gemm(const char* name,
               int rows,
               int n,
               int k,
               bool gated,
               bool f32,
               const Array<bf16>& pool,
               bool graph) {
  const int64_t size = int64_t{n} * k;
  const int copies = static_cast<int>(std::max<int64_t>(1, pool.count / size));
  Array<bf16> x(int64_t{rows} * k);
  Array<float> y(int64_t{rows} * n);
  fill(x.data, x.count, 1.0F, 4);
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const auto launch = [&](int i) {
    CHECK(tutti::cuda::skinny_gemm({.y = y.data,
                                    .x = x.data,
                                    .w = pool.data + (i % copies) * size,
                                    .y_stride = gated ? n / 2 : n,
                                    .x_stride = k,
                                    .rows = rows,
                                    .n = n,
                                    .k = k,
                                    .f32_out = f32,
                                    .gated = gated},
                                   stream));
  };
  cudaGraph_t recorded = nullptr;
  cudaGraphExec_t ready = nullptr;
  constexpr int kLaunches = 60;
  if (graph) {
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < kLaunches; ++i) {
      launch(i);
    }
    CHECK(cudaStreamEndCapture(stream, &recorded));
    CHECK(cudaGraphInstantiate(&ready, recorded, 0));
  }
  const float ms = graph ? time_ms(
                               3, [&](int) { CHECK(cudaGraphLaunch(ready, stream)); }, stream) /
                               kLaunches
                         : time_ms(kLaunches, launch, stream);
  char what[120];
  std::snprintf(what, sizeof(what), "gemm %s m%d%s", name, rows, graph ? "" : " stream");
  report_bytes(what, ms, 2.0 * static_cast<double>(size));
}

void time_decode(int heads, int kv_heads, const std::vector<int>& contexts, int sms) {
  Problem p(heads, kv_heads, 128, 16, contexts, std::vector<int>(contexts.size(), 1), false);
  const Scratch s(p.a, sms);
  double keys = 0.0;
  for (const int c : contexts) {
    keys += c + 1;
  }
  const float ms =
      time_ms(20, [&](int) { CHECK(tutti::cuda::decode_attention(p.a, s.scratch, sms, nullptr)); });
  char name[120];
  std::snprintf(
      name, sizeof(name), "decode h%d/%d s%zu c%d", heads, kv_heads, contexts.size(), contexts[0]);
  report_bytes(name, ms, keys * kv_heads * 128 * 2 * 2);
}

void time_prefill(int heads,
                  int kv_heads,
                  const std::vector<int>& contexts,
                  const std::vector<int>& queries) {
  Problem p(heads, kv_heads, 128, 16, contexts, queries, false);
  double pairs = 0.0;
  for (size_t i = 0; i < queries.size(); ++i) {
    const double q = queries[i];
    pairs += q * contexts[i] + q * (q + 1) / 2;
  }
  const float ms = time_ms(
      10, [&](int) { CHECK(tutti::cuda::prefill_attention(p.a, p.k_map, p.v_map, nullptr)); });
  char name[120];
  std::snprintf(name,
                sizeof(name),
                "prefill h%d/%d s%zu q%d c%d",
                heads,
                kv_heads,
                queries.size(),
                queries[0],
                contexts[0]);
  report_flops(name, ms, 4.0 * pairs * heads * 128);
}

void time_all(int sms) {
  const int64_t gib = int64_t{1} << 30;
  flops_rate = 750e12;
  {
    Array<uint4> big(4 * gib / 16);
    Array<uint32_t> sink(1);
    CHECK(cudaMemset(big.data, 1, static_cast<size_t>(4 * gib)));
    const float ms = time_ms(5, [&](int) {
      read_kernel<<<static_cast<unsigned>(sms * 8), 512>>>(big.data, big.count, sink.data);
    });
    read_rate = 4.0 * static_cast<double>(gib) / (ms * 1e-3);
    report_bytes("read probe, 4 GiB", ms, 4.0 * static_cast<double>(gib));
    const float copy = time_ms(5, [&](int) {
      CHECK(cudaMemcpyAsync(big.data,
                            big.data + 2 * gib / 16,
                            static_cast<size_t>(2 * gib),
                            cudaMemcpyDeviceToDevice));
    });
    report_bytes("copy probe, 2 + 2 GiB", copy, 4.0 * static_cast<double>(gib));
  }
  {
    Array<bf16> pool(gib / 2);
    fill(pool.data, pool.count, 0.02F, 9);
    for (const int rows : {1, 8, 16}) {
      time_gemm("qkv 4608x3584", rows, 4608, 3584, false, false, pool, true);
      time_gemm("o 3584x3584", rows, 3584, 3584, false, false, pool, true);
      time_gemm("gate_up 37888x3584", rows, 37888, 3584, true, false, pool, true);
      time_gemm("down 3584x18944", rows, 3584, 18944, false, false, pool, true);
    }
    time_gemm("qkv 4608x3584", 1, 4608, 3584, false, false, pool, false);
    time_gemm("head 152064x3584", 1, 152064, 3584, false, true, pool, true);
  }
  time_decode(28, 4, std::vector<int>(64, 4095), sms);
  time_decode(32, 8, std::vector<int>(64, 4095), sms);
  time_decode(28, 4, std::vector<int>(256, 400), sms);
  time_decode(28, 4, std::vector<int>(1, 255), sms);
  std::vector<int> uneven(64);
  for (size_t i = 0; i < uneven.size(); ++i) {
    uneven[i] = static_cast<int>(100 + i * 130);
  }
  time_decode(28, 4, uneven, sms);
  time_prefill(28, 4, {0}, {8192});
  time_prefill(28, 4, std::vector<int>(8, 0), std::vector<int>(8, 1024));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "all";
  cudaDeviceProp properties{};
  CHECK(cudaGetDeviceProperties(&properties, 0));
  std::printf("%s, %d SMs\n", properties.name, properties.multiProcessorCount);
  if (what != "time") {
    check_all(properties.multiProcessorCount);
  }
  if (what != "check") {
    time_all(properties.multiProcessorCount);
  }
  bool good = true;
  for (const Row& row : table) {
    std::printf("%-34s %s\n", row.name.c_str(), row.result.c_str());
    good = good && row.good;
  }
  return good ? 0 : 1;
}
