// The products of a mixture's experts at the shapes of real models, tokens routed at random: the
// kernel for few rows beside that of the matrix units with each of its tiles. Then the single
// matrices of DeepSeek-R1 on one of eight ranks, and its matrices per head. All as a recorded step
// runs them: one after another, overlapping where they can.
//   expert_bench [experts|singles|all [TOKENS...]]      one line per shape and number of tokens
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/checked.h"
#include "cuda/kernels/few_rows_gemm.h"
#include "cuda/kernels/grouped_gemm_sm90.h"
#include "cuda/kernels/tensor_map.h"

namespace tutti::cuda {
namespace {

constexpr int kTopK = 8;
constexpr int kRoutings = 8;  // read in turns, so that few experts do not stay in a cache
constexpr int kRuns = 24;
constexpr int64_t kBufferBytes = int64_t{1} << 30;

struct Shape {
  const char* name;
  int experts;
  int n;
  int k;
  bool gated;
  bool e4m3;
};

constexpr Shape kShapes[] = {
    {"30B gate_up bf16", 128, 1536, 2048, true, false},
    {"30B down bf16", 128, 2048, 768, false, false},
    {"30B gate_up e4m3", 128, 1536, 2048, true, true},
    {"30B down e4m3", 128, 2048, 768, false, true},
    {"R1/8 gate_up e4m3", 256, 512, 7168, true, true},
    {"R1/8 down e4m3", 256, 7168, 256, false, true},
};

struct Single {
  const char* name;
  int n;
  int k;
  bool gated;
  bool e4m3;
  int heads;
  bool f32;
};

constexpr Single kSingles[] = {
    {"R1/8 q_a+kv_a e4m3", 2112, 7168, false, true, 1, false},
    {"R1/8 q_b e4m3", 3072, 1536, false, true, 1, false},
    {"R1/8 o e4m3", 7168, 2048, false, true, 1, false},
    {"R1/8 shared up e4m3", 512, 7168, true, true, 1, false},
    {"R1/8 shared down e4m3", 7168, 256, false, true, 1, false},
    {"R1/8 dense up e4m3", 4608, 7168, true, true, 1, false},
    {"R1/8 dense down e4m3", 7168, 2304, false, true, 1, false},
    {"R1 router bf16", 256, 7168, false, false, 1, true},
    {"30B router bf16", 128, 2048, false, false, 1, true},
    {"R1/8 W_UK bf16", 512, 128, false, false, 16, false},
    {"R1/8 W_UV bf16", 128, 512, false, false, 16, false},
};

void check(cudaError_t code) {
  if (code != cudaSuccess) {
    std::fprintf(stderr, "%s\n", cudaGetErrorString(code));
    std::exit(1);
  }
}

struct Routing {
  std::vector<int32_t> offsets;
  int hit = 0;
};

Routing route(int tokens, int experts, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> counts(usize(experts));
  std::vector<int> ids(usize(experts));
  std::iota(ids.begin(), ids.end(), 0);
  for (int t = 0; t < tokens; ++t) {
    for (int j = 0; j < kTopK; ++j) {
      std::swap(ids[usize(j)],
                ids[usize(j + static_cast<int>(random() % static_cast<unsigned>(experts - j)))]);
      ++counts[usize(ids[usize(j)])];
    }
  }
  Routing routing;
  routing.offsets.assign(1, 0);
  for (const int32_t count : counts) {
    routing.offsets.push_back(routing.offsets.back() + count);
    routing.hit += count > 0 ? 1 : 0;
  }
  return routing;
}

class Bench {
 public:
  Bench() {
    check(cudaStreamCreate(&stream_));
    check(cudaEventCreate(&begin_));
    check(cudaEventCreate(&end_));
    for (void** buffer : {&weights_, &x_, &y_}) {
      check(cudaMalloc(buffer, usize(kBufferBytes)));
      check(cudaMemset(*buffer, 0, usize(kBufferBytes)));
    }
    for (void** buffer : {&scales_, &x_scales_, &offsets_, &x_rows_}) {
      check(cudaMalloc(buffer, usize(kBufferBytes / 16)));
      check(cudaMemset(*buffer, 0, usize(kBufferBytes / 16)));
    }
  }

  void measure(const Shape& shape, int tokens) {
    double hit = 0;
    for (unsigned i = 0; i < kRoutings; ++i) {
      const Routing routing = route(tokens, shape.experts, i + 1);
      hit += routing.hit;
      check(cudaMemcpy(offsets(shape, static_cast<int>(i)),
                       routing.offsets.data(),
                       routing.offsets.size() * 4,
                       cudaMemcpyHostToDevice));
    }
    const int rows = tokens * kTopK;
    std::vector<int32_t> from(usize(rows));
    for (size_t i = 0; i < from.size(); ++i) {
      from[i] = narrow<int32_t>(ssize(i * 7) % tokens);
    }
    check(cudaMemcpy(x_rows_, from.data(), from.size() * 4, cudaMemcpyHostToDevice));
    const double value_bytes = shape.e4m3 ? 1 : 2;
    const double bytes = hit / kRoutings * shape.n * shape.k * value_bytes;
    const double flops = 2.0 * rows * shape.n * shape.k;
    std::string line =
        fmt::format("{:18} {:5} tokens, {:5.1f} experts ", shape.name, tokens, hit / kRoutings);
    const auto add = [&](const std::string& name, double us) {
      line += fmt::format(" {} {:.1f} us {:.2f} TB/s {:.0f} TFLOP/s;",
                          name,
                          us,
                          bytes / us * 1e-6,
                          flops / us * 1e-6);
    };
    for (const int share : {1, 4, 8}) {
      if (tokens <= 64) {
        add(fmt::format("few/{}", share), time([&](int i) { return few(shape, rows, share, i); }));
      }
    }
    for (const int tile : {16, 32, 64, 128}) {
      const int mean = rows / shape.experts;
      if ((mean < tile / 8 && tile > 16) || mean > tile * 4) {
        continue;
      }
      add(std::to_string(tile), time([&](int i) { return grouped(shape, rows, tile, i); }));
    }
    std::puts(line.c_str());
    std::fflush(stdout);
  }

  void measure(const Single& single, int rows) {
    const double bytes =
        static_cast<double>(single.heads) * single.n * single.k * (single.e4m3 ? 1 : 2);
    std::string line = fmt::format("{:22} {:3} rows ", single.name, rows);
    const auto add = [&](const std::string& name, double us) {
      line += fmt::format(" {} {:.1f} us {:.2f};", name, us, bytes / us * 1e-6);
    };
    for (const int share : {0, 1, 4}) {
      add(fmt::format("{}", share),
          time([&](int i) { return single_few(single, rows, share, 0, i); }));
    }
    for (const int split : {1, 2, 4, 8}) {
      add(fmt::format("8/{}", split),
          time([&](int i) { return single_few(single, rows, 8, split, i); }));
    }
    if (single.e4m3 && rows > 8) {
      line += " tiles:";
      for (const int split : {0, 1, 2, 4, 8}) {
        add(fmt::format("{}", split),
            time([&](int i) { return single_tiles(single, rows, split, i); }));
      }
    }
    std::puts(line.c_str());
    std::fflush(stdout);
  }

 private:
  static CUtensorMap map_of(bool e4m3, const void* data, int64_t rows, int64_t k, int box_rows) {
    const Result<CUtensorMap> map = e4m3 ? make_byte_tensor_map(data, rows, k, k, box_rows)
                                         : make_bf16_tensor_map(data, rows, k, k, box_rows);
    if (!map.ok()) {
      std::fprintf(stderr, "%s\n", map.status().message().c_str());
      std::exit(1);
    }
    return *map;
  }

  cudaError_t single_tiles(const Single& single, int rows, int split, int i) const {
    const int64_t bytes = static_cast<int64_t>(single.n) * single.k;
    const auto* w = static_cast<const std::byte*>(weights_) + i % (kBufferBytes / bytes) * bytes;
    const int tile = grouped_tile_rows(rows, 1);
    return grouped_gemm(
        {.y = y_,
         .x = x_,
         .x_scales = static_cast<const float*>(x_scales_),
         .scales = {.data = static_cast<const float*>(scales_), .row_stride = single.k / 128},
         .y_stride = single.n,
         .x_stride = single.k,
         .x_scale_stride = single.k / 128,
         .rows = rows,
         .n = single.n,
         .k = single.k,
         .gated = single.gated,
         .tile_rows = tile,
         .split = split},
        map_of(true, w, single.n, single.k, 64),
        map_of(true, x_, rows, single.k, tile),
        stream_);
  }

  // Other weights every time, so that they come from memory.
  cudaError_t single_few(const Single& single, int rows, int share, int split, int i) const {
    const int64_t bytes =
        static_cast<int64_t>(single.heads) * single.n * single.k * (single.e4m3 ? 1 : 2);
    const int64_t room = kBufferBytes / bytes;
    FewRowsGemm g{.y = y_,
                  .x = x_,
                  .w = static_cast<const std::byte*>(weights_) + i % room * bytes,
                  .scales = {},
                  .y_stride = static_cast<int64_t>(single.heads) * single.n,
                  .x_stride = static_cast<int64_t>(single.heads) * single.k,
                  .y_group = single.heads > 1 ? single.n : 0,
                  .x_group = single.heads > 1 ? single.k : 0,
                  .rows = rows,
                  .groups = single.heads,
                  .n = single.n,
                  .k = single.k,
                  .gated = single.gated,
                  .f32_out = single.f32,
                  .share = share,
                  .split = split};
    if (single.e4m3) {
      g.scales = {.data = static_cast<const float*>(scales_), .row_stride = single.k / 128};
    }
    return few_rows_gemm(g, stream_);
  }

  int32_t* offsets(const Shape& shape, int i) const {
    return static_cast<int32_t*>(offsets_) + i * (shape.experts + 1);
  }

  BlockScales scales(const Shape& shape) const {
    if (!shape.e4m3) {
      return {};
    }
    return {.data = static_cast<const float*>(scales_),
            .row_stride = shape.k / 128,
            .group_stride = static_cast<int64_t>(shape.n / 128) * (shape.k / 128)};
  }

  cudaError_t few(const Shape& shape, int rows, int share, int i) const {
    return few_rows_gemm({.y = y_,
                          .x = x_,
                          .w = weights_,
                          .scales = scales(shape),
                          .x_rows = shape.gated ? static_cast<const int32_t*>(x_rows_) : nullptr,
                          .offsets = offsets(shape, i % kRoutings),
                          .y_stride = shape.n,
                          .x_stride = shape.k,
                          .rows = rows,
                          .groups = shape.experts,
                          .n = shape.n,
                          .k = shape.k,
                          .gated = shape.gated,
                          .share = share},
                         stream_);
  }

  cudaError_t grouped(const Shape& shape, int rows, int tile, int i) const {
    const int64_t all = static_cast<int64_t>(shape.experts) * shape.n;
    return grouped_gemm({.y = y_,
                         .x = x_,
                         .x_scales = static_cast<const float*>(x_scales_),
                         .scales = scales(shape),
                         .x_rows = shape.gated ? static_cast<const int32_t*>(x_rows_) : nullptr,
                         .offsets = offsets(shape, i % kRoutings),
                         .y_stride = shape.n,
                         .x_stride = shape.k,
                         .x_scale_stride = shape.k / 128,
                         .rows = rows,
                         .groups = shape.experts,
                         .n = shape.n,
                         .k = shape.k,
                         .gated = shape.gated,
                         .tile_rows = tile},
                        map_of(shape.e4m3, weights_, all, shape.k, 64),
                        map_of(shape.e4m3, x_, rows, shape.k, tile),
                        stream_);
  }

  // Microseconds per run, recorded.
  double time(const std::function<cudaError_t(int)>& run) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t recorded = nullptr;
    check(run(0));  // what a first run loads
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < kRuns; ++i) {
      check(run(i));
    }
    check(cudaStreamEndCapture(stream_, &graph));
    check(cudaGraphInstantiate(&recorded, graph, 0));
    double best = 1e9;
    for (int pass = 0; pass < 4; ++pass) {
      check(cudaEventRecord(begin_, stream_));
      check(cudaGraphLaunch(recorded, stream_));
      check(cudaEventRecord(end_, stream_));
      check(cudaEventSynchronize(end_));
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, begin_, end_));
      best = std::min(best, static_cast<double>(milliseconds) * 1e3 / kRuns);
    }
    check(cudaGraphExecDestroy(recorded));
    check(cudaGraphDestroy(graph));
    return best;
  }

  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
  void* weights_ = nullptr;
  void* x_ = nullptr;
  void* y_ = nullptr;
  void* scales_ = nullptr;
  void* x_scales_ = nullptr;
  void* offsets_ = nullptr;
  void* x_rows_ = nullptr;
};

}  // namespace
}  // namespace tutti::cuda

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "all";
  std::vector<int> tokens;
  for (int i = 2; i < argc; ++i) {
    tokens.push_back(std::atoi(argv[i]));
  }
  if (what != "all" && what != "experts" && what != "singles") {
    std::fprintf(stderr, "usage: expert_bench [experts|singles|all [TOKENS...]]\n");
    return 64;
  }
  tutti::cuda::Bench bench;
  if (what != "singles") {
    for (const tutti::cuda::Shape& shape : tutti::cuda::kShapes) {
      for (const int t :
           tokens.empty() ? std::vector{1, 4, 16, 64, 256, 1024, 4096, 8192} : tokens) {
        bench.measure(shape, t);
      }
    }
  }
  if (what != "experts") {
    for (const tutti::cuda::Single& single : tutti::cuda::kSingles) {
      for (const int rows : tokens.empty() ? std::vector{1, 4, 8, 16, 64, 256} : tokens) {
        bench.measure(single, rows);
      }
    }
  }
  return 0;
}
