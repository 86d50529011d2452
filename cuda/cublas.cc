#include "cuda/cublas.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <set>
#include <tuple>

#include <cublasLt.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include "base/checked.h"
#include "cuda/cuda_error.h"
#include "cuda/shared_library.h"

namespace tutti::cuda {

namespace {

constexpr int kMaxAlgorithms = 8;
constexpr const char* kLibrary = "libcublasLt.so.13";

// The functions used, by their names in the header.
struct Functions {
#define TUTTI_CUBLAS_FUNCTIONS(X)         \
  X(cublasLtCreate)                       \
  X(cublasLtDestroy)                      \
  X(cublasLtGetVersion)                   \
  X(cublasLtGetStatusString)              \
  X(cublasLtMatmul)                       \
  X(cublasLtMatmulDescCreate)             \
  X(cublasLtMatmulDescDestroy)            \
  X(cublasLtMatmulDescSetAttribute)       \
  X(cublasLtMatrixLayoutCreate)           \
  X(cublasLtMatrixLayoutDestroy)          \
  X(cublasLtMatrixLayoutSetAttribute)     \
  X(cublasLtMatmulPreferenceCreate)       \
  X(cublasLtMatmulPreferenceDestroy)      \
  X(cublasLtMatmulPreferenceSetAttribute) \
  X(cublasLtMatmulAlgoGetHeuristic)
#define TUTTI_DECLARE(name) decltype(&::name) name = nullptr;
  TUTTI_CUBLAS_FUNCTIONS(TUTTI_DECLARE)
#undef TUTTI_DECLARE
};

cudaDataType_t type_of(ElementType type) {
  return type == ElementType::kF32 ? CUDA_R_32F : CUDA_R_16BF;
}

int64_t size_of(ElementType type) {
  return type == ElementType::kF32 ? 4 : 2;
}

bool aligned(const void* data, int64_t stride, ElementType type) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride * size_of(type) % 16 == 0;
}

// What the choice of an algorithm may depend on.
using ProblemKey = std::tuple<int64_t,
                              int64_t,
                              int64_t,
                              int64_t,
                              int64_t,
                              int64_t,
                              int64_t,
                              int64_t,
                              int64_t,
                              int64_t,
                              int,
                              int,
                              bool>;

ProblemKey key_of(const MatMul& p, bool bias) {
  return {p.m,
          p.n,
          p.k,
          p.y_stride,
          p.x_stride,
          p.w_stride,
          p.batches,
          p.y_batch,
          p.x_batch,
          p.w_batch,
          static_cast<int>(p.y_type),
          static_cast<int>(p.x_type),
          bias};
}

// "cublas 64 3584 18944 ..." in a TuningCache.
std::string name_of(const ProblemKey& key) {
  return std::apply(
      [](auto... parts) {
        return fmt::format(
            "cublas {}",
            fmt::join(std::array<int64_t, sizeof...(parts)>{static_cast<int64_t>(parts)...}, " "));
      },
      key);
}

// Time between two points of a stream, which it waits for.
class Stopwatch {
 public:
  Stopwatch() : status_(check(cudaEventCreate(&begin_), "cudaEventCreate")) {
    if (status_.ok()) {
      status_ = check(cudaEventCreate(&end_), "cudaEventCreate");
    }
  }

  ~Stopwatch() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }

  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  const Status& status() const { return status_; }

  Status start(cudaStream_t stream) const {
    return check(cudaEventRecord(begin_, stream), "cudaEventRecord");
  }

  /// Seconds.
  Result<double> stop(cudaStream_t stream) const {
    float milliseconds = 0;
    TUTTI_RETURN_IF_ERROR(check(cudaEventRecord(end_, stream), "cudaEventRecord"));
    TUTTI_RETURN_IF_ERROR(check(cudaEventSynchronize(end_), "waiting for a matrix product"));
    TUTTI_RETURN_IF_ERROR(
        check(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime"));
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
  Status status_;
};

}  // namespace

struct CublasLt::Impl {
  // One problem shape, ready to run.
  struct Plan {
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t w = nullptr;
    cublasLtMatrixLayout_t x = nullptr;
    cublasLtMatrixLayout_t y = nullptr;
    std::vector<cublasLtMatmulAlgo_t> algorithms;  // the library's guess first
    int chosen = 0;
    bool measured = false;
  };

  Functions f;
  void* library = nullptr;
  std::string path;
  cublasLtHandle_t handle = nullptr;
  TuningCache* cache = nullptr;
  std::map<ProblemKey, Plan> plans;
  std::set<ProblemKey> prepared;             // with 0 rows: see load_kernels
  std::set<std::array<uint64_t, 8>> loaded;  // algorithms that have run

  Status check(cublasStatus_t code, const char* what) const {
    if (code == CUBLAS_STATUS_SUCCESS) {
      return ok_status();
    }
    return error(StatusCode::kDevice, "{}: {}", what, f.cublasLtGetStatusString(code));
  }

  Status load(void* opened, std::string from) {
    library = opened;
    path = std::move(from);
#define TUTTI_LOAD(name)                                                                    \
  f.name = reinterpret_cast<decltype(f.name)>(dlsym(library, #name));                       \
  if (f.name == nullptr) {                                                                  \
    return error(StatusCode::kUnavailable, "{} has no {}; is it of CUDA 13?", path, #name); \
  }
    TUTTI_CUBLAS_FUNCTIONS(TUTTI_LOAD)
#undef TUTTI_LOAD
    return check(f.cublasLtCreate(&handle), "cublasLtCreate");
  }

  Status make_layouts(const MatMul& p, bool bias, Plan& plan) const;
  Result<Plan*> plan_for(const MatMul& p, bool bias, int64_t workspace_bytes);
  Status run(Plan& plan, const MatMul& p, const void* bias, const Workspace& w, int algorithm);
  Status measure(Plan& plan, const MatMul& p, const void* bias, const Workspace& w);
  Status load_kernels(const MatMul& p, const void* bias, const Workspace& w);
  bool recall(Plan& plan, const std::string& name) const;
};

CublasLt::CublasLt(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

CublasLt::~CublasLt() {
  for (auto& [key, plan] : impl_->plans) {
    impl_->f.cublasLtMatmulDescDestroy(plan.operation);
    impl_->f.cublasLtMatrixLayoutDestroy(plan.w);
    impl_->f.cublasLtMatrixLayoutDestroy(plan.x);
    impl_->f.cublasLtMatrixLayoutDestroy(plan.y);
  }
  if (impl_->handle != nullptr) {
    impl_->f.cublasLtDestroy(impl_->handle);
  }
}

std::vector<std::string> cublas_directories() {
  return {"/usr/local/cuda/lib64",
          "/usr/local/cuda-13.0/lib64",
          "/usr/lib/x86_64-linux-gnu",
          "/usr/local/lib/python3.12/dist-packages/nvidia/cu13/lib",
          "/usr/local/lib/python3.12/dist-packages/nvidia/cublas/lib"};
}

Result<std::unique_ptr<CublasLt>> CublasLt::open(const std::vector<std::string>& directories,
                                                 TuningCache* cache) {
  TUTTI_TRY(const SharedLibrary library,
            open_shared_library(kLibrary,
                                directories,
                                "cuBLASLt of CUDA 13",
                                "install it (Debian and Ubuntu: package libcublas-13-0; pip: "
                                "nvidia-cublas) or add its directory to LD_LIBRARY_PATH"));
  auto impl = std::make_unique<Impl>();
  TUTTI_RETURN_IF_ERROR(impl->load(library.handle, library.path));
  impl->cache = cache;
  return std::unique_ptr<CublasLt>(new CublasLt(std::move(impl)));
}

std::string CublasLt::version() const {
  const size_t version = impl_->f.cublasLtGetVersion();
  return fmt::format("cuBLASLt {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::string CublasLt::describe() const {
  return fmt::format("{} from {}", version(), impl_->path);
}

bool CublasLt::fits(const MatMul& p) {
  const bool types =
      p.x_type == p.w_type && (p.x_type == ElementType::kBF16 ||
                               (p.x_type == ElementType::kF32 && p.y_type == ElementType::kF32));
  const bool batches =
      p.batches == 1 || (p.bias == nullptr && aligned(p.y, p.y_batch, p.y_type) &&
                         aligned(p.x, p.x_batch, p.x_type) && aligned(p.w, p.w_batch, p.w_type));
  return types && batches && p.offsets == nullptr && p.m > 0 && p.n > 0 && p.k > 0 &&
         aligned(p.y, p.y_stride, p.y_type) && aligned(p.x, p.x_stride, p.x_type) &&
         aligned(p.w, p.w_stride, p.w_type);
}

// cuBLAS is column-major: our row-major y [m, n] is its y^T [n, m], so it computes w * x^T with w
// [n, k] read as the transpose of a [k, n] matrix.
Status CublasLt::Impl::make_layouts(const MatMul& p, bool bias, Plan& plan) const {
  TUTTI_RETURN_IF_ERROR(
      check(f.cublasLtMatmulDescCreate(&plan.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
            "cublasLtMatmulDescCreate"));
  const cublasOperation_t transposed = CUBLAS_OP_T;
  TUTTI_RETURN_IF_ERROR(
      check(f.cublasLtMatmulDescSetAttribute(
                plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed),
            "cublasLtMatmulDescSetAttribute"));
  if (bias) {
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const cudaDataType_t bias_type = type_of(p.y_type);
    TUTTI_RETURN_IF_ERROR(
        check(f.cublasLtMatmulDescSetAttribute(
                  plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue),
              "cublasLtMatmulDescSetAttribute"));
    TUTTI_RETURN_IF_ERROR(check(
        f.cublasLtMatmulDescSetAttribute(
            plan.operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type),
        "cublasLtMatmulDescSetAttribute"));
  }
  const auto layout = [&](cublasLtMatrixLayout_t& to,
                          ElementType type,
                          int64_t rows,
                          int64_t cols,
                          int64_t stride,
                          int64_t batch) -> Status {
    TUTTI_RETURN_IF_ERROR(check(
        f.cublasLtMatrixLayoutCreate(
            &to, type_of(type), static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), stride),
        "cublasLtMatrixLayoutCreate"));
    if (p.batches == 1) {
      return ok_status();
    }
    const auto count = narrow<int32_t>(p.batches);
    TUTTI_RETURN_IF_ERROR(check(f.cublasLtMatrixLayoutSetAttribute(
                                    to, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
                                "cublasLtMatrixLayoutSetAttribute"));
    return check(f.cublasLtMatrixLayoutSetAttribute(
                     to, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &batch, sizeof batch),
                 "cublasLtMatrixLayoutSetAttribute");
  };
  TUTTI_RETURN_IF_ERROR(layout(plan.w, p.w_type, p.k, p.n, p.w_stride, p.w_batch));
  TUTTI_RETURN_IF_ERROR(layout(plan.x, p.x_type, p.k, p.m, p.x_stride, p.x_batch));
  return layout(plan.y, p.y_type, p.n, p.m, p.y_stride, p.y_batch);
}

Result<CublasLt::Impl::Plan*> CublasLt::Impl::plan_for(const MatMul& p,
                                                       bool bias,
                                                       int64_t workspace_bytes) {
  const ProblemKey key = key_of(p, bias);
  if (const auto found = plans.find(key); found != plans.end()) {
    return &found->second;
  }
  Plan plan;
  TUTTI_RETURN_IF_ERROR(make_layouts(p, bias, plan));
  cublasLtMatmulPreference_t preference = nullptr;
  TUTTI_RETURN_IF_ERROR(
      check(f.cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate"));
  const auto bytes = static_cast<uint64_t>(workspace_bytes);
  // Partial sums meet in the workspace in a fixed order; adding into the output in place would not.
  const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  const uint32_t alignment = 16;
  f.cublasLtMatmulPreferenceSetAttribute(
      preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
  f.cublasLtMatmulPreferenceSetAttribute(
      preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions);
  for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    f.cublasLtMatmulPreferenceSetAttribute(preference, attribute, &alignment, sizeof alignment);
  }
  std::array<cublasLtMatmulHeuristicResult_t, kMaxAlgorithms> choices{};
  int found = 0;
  const cublasStatus_t code = f.cublasLtMatmulAlgoGetHeuristic(handle,
                                                               plan.operation,
                                                               plan.w,
                                                               plan.x,
                                                               plan.y,
                                                               plan.y,
                                                               preference,
                                                               kMaxAlgorithms,
                                                               choices.data(),
                                                               &found);
  f.cublasLtMatmulPreferenceDestroy(preference);
  if (code != CUBLAS_STATUS_SUCCESS || found == 0) {
    return error(StatusCode::kDevice,
                 "cuBLASLt has no algorithm for [{}, {}] x [{}, {}]^T: {}",
                 p.m,
                 p.k,
                 p.n,
                 p.k,
                 f.cublasLtGetStatusString(code));
  }
  for (int i = 0; i < found; ++i) {
    plan.algorithms.push_back(choices[usize(i)].algo);
  }
  return &plans.emplace(key, plan).first->second;
}

Status CublasLt::Impl::run(
    Plan& plan, const MatMul& p, const void* bias, const Workspace& w, int algorithm) {
  const float one = 1.0F;
  const float zero = 0.0F;
  if (bias != nullptr) {
    TUTTI_RETURN_IF_ERROR(
        check(f.cublasLtMatmulDescSetAttribute(
                  plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
              "cublasLtMatmulDescSetAttribute"));
  }
  return check(f.cublasLtMatmul(handle,
                                plan.operation,
                                &one,
                                p.w,
                                plan.w,
                                p.x,
                                plan.x,
                                &zero,
                                p.y,
                                plan.y,
                                p.y,
                                plan.y,
                                &plan.algorithms[usize(algorithm)],
                                w.data,
                                usize(w.bytes),
                                w.stream),
               "cublasLtMatmul");
}

// What a run of the program before this one measured.
bool CublasLt::Impl::recall(Plan& plan, const std::string& name) const {
  const std::optional<std::string> kept =
      cache != nullptr ? cache->find(name) : std::optional<std::string>();
  int chosen = -1;
  size_t count = 0;
  if (!kept || std::sscanf(kept->c_str(), "%d of %zu", &chosen, &count) != 2 ||
      count != plan.algorithms.size() || chosen < 0 || usize(chosen) >= count) {
    return false;
  }
  plan.chosen = chosen;
  return true;
}

Status CublasLt::Impl::measure(Plan& plan, const MatMul& p, const void* bias, const Workspace& w) {
  constexpr int kRuns = 4;              // the first loads the kernel
  constexpr double kWorthwhile = 0.97;  // less gain is noise
  const Stopwatch watch;
  TUTTI_RETURN_IF_ERROR(watch.status());
  double guessed = 0;
  double best = 0;
  for (int a = 0; a < static_cast<int>(plan.algorithms.size()); ++a) {
    double seconds = 0;
    for (int i = 0; i < kRuns; ++i) {
      // Weights come from memory when a model runs: the cache is filled with something else.
      TUTTI_RETURN_IF_ERROR(
          cuda::check(cudaMemsetAsync(w.data, 0, usize(w.bytes), w.stream), "cudaMemsetAsync"));
      TUTTI_RETURN_IF_ERROR(cuda::check(
          cudaMemsetAsync(w.spoiler, 0, usize(w.spoiler_bytes), w.stream), "cudaMemsetAsync"));
      TUTTI_RETURN_IF_ERROR(watch.start(w.stream));
      TUTTI_RETURN_IF_ERROR(run(plan, p, bias, w, a));
      TUTTI_TRY(const double once, watch.stop(w.stream));
      seconds = i <= 1 ? once : std::min(seconds, once);
    }
    guessed = a == 0 ? seconds : guessed;
    if (a == 0 || (seconds < best && seconds < guessed * kWorthwhile)) {
      best = seconds;
      plan.chosen = a;
    }
  }
  return ok_status();
}

// The library has kernels for many heights of tiles, and loads each when it first runs: presumably
// the 16 ms that a first prompt of 200 tokens took longer than the hundredth. Which one a number of
// rows takes can be asked without running it.
Status CublasLt::Impl::load_kernels(const MatMul& p, const void* bias, const Workspace& w) {
  constexpr int64_t kFine = 512;
  constexpr int64_t kMiddle = 2048;
  MatMul smaller = p;
  smaller.m = 0;
  if (!prepared.insert(key_of(smaller, bias != nullptr)).second) {
    return ok_status();
  }
  while (smaller.m < p.m) {
    const int64_t step = smaller.m < kFine ? 8 : smaller.m < kMiddle ? 32 : 128;
    smaller.m = std::min(p.m, smaller.m + step);
    TUTTI_TRY(Plan * plan, plan_for(smaller, bias != nullptr, w.bytes));
    static_assert(sizeof(cublasLtMatmulAlgo_t::data) == sizeof(std::array<uint64_t, 8>));
    if (loaded.insert(std::to_array(plan->algorithms.front().data)).second) {
      TUTTI_RETURN_IF_ERROR(run(*plan, smaller, bias, w, 0));
    }
  }
  return ok_status();
}

Result<int> CublasLt::algorithms(const MatMul& p, bool bias, int64_t workspace_bytes) {
  TUTTI_TRY(const Impl::Plan* plan, impl_->plan_for(p, bias, workspace_bytes));
  return static_cast<int>(plan->algorithms.size());
}

Status CublasLt::matmul(const MatMul& p,
                        const void* bias,
                        const Workspace& w,
                        std::optional<int> algorithm) {
  if (w.rehearsal) {
    TUTTI_RETURN_IF_ERROR(impl_->load_kernels(p, bias, w));
  }
  TUTTI_TRY(Impl::Plan * plan, impl_->plan_for(p, bias != nullptr, w.bytes));
  if (!algorithm && !plan->measured && w.spoiler != nullptr) {
    cudaStreamCaptureStatus capture{};
    TUTTI_RETURN_IF_ERROR(
        cuda::check(cudaStreamIsCapturing(w.stream, &capture), "cudaStreamIsCapturing"));
    if (capture == cudaStreamCaptureStatusNone) {
      plan->measured = true;
      const std::string name = name_of(key_of(p, bias != nullptr));
      if (impl_->recall(*plan, name)) {
        // Their code is loaded when they first run; other numbers of rows will want it in a hurry.
        for (int a = 0; a < static_cast<int>(plan->algorithms.size()); ++a) {
          TUTTI_RETURN_IF_ERROR(impl_->run(*plan, p, bias, w, a));
        }
      } else {
        TUTTI_RETURN_IF_ERROR(impl_->measure(*plan, p, bias, w));
        if (impl_->cache != nullptr) {
          impl_->cache->put(name, fmt::format("{} of {}", plan->chosen, plan->algorithms.size()));
        }
      }
    }
  }
  return impl_->run(*plan, p, bias, w, algorithm.value_or(plan->chosen));
}

}  // namespace tutti::cuda
