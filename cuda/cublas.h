// Matrix products by cuBLASLt, opened by name at run time: the plugin loads without it, and a
// missing library is named instead of "cannot load".
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>

#include "base/status.h"
#include "base/tuning_cache.h"
#include "cuda/ops/matmul.h"

namespace tutti::cuda {

/// Directories where libcublasLt.so is looked for after the loader's own path.
std::vector<std::string> cublas_directories();

class CublasLt {
 public:
  /// kUnavailable lists what was tried. `cache`: where the choices of algorithms are kept; it must
  /// outlive the object. nullptr: nowhere.
  static Result<std::unique_ptr<CublasLt>> open(const std::vector<std::string>& directories,
                                                TuningCache* cache = nullptr);
  ~CublasLt();

  /// True if cuBLASLt takes the problem: dense matrices that all rows go through, bf16 or f32
  /// throughout (f32 results from bf16 allowed), rows of 16-byte multiples.
  static bool fits(const MatMul& problem);

  /// Where a product may work.
  struct Workspace {
    void* data = nullptr;  ///< device memory that only this stream uses
    int64_t bytes = 0;
    cudaStream_t stream = nullptr;
    /// More such memory, at least as large as the second-level cache together with `data`: with it
    /// the first product of a shape measures which algorithm is fastest on weights that no cache
    /// holds, and waits for that. Not while the stream is recorded.
    void* spoiler = nullptr;
    int64_t spoiler_bytes = 0;
    /// Results are of no worth: code that products of the same matrix with fewer rows will want is
    /// loaded now, by running it.
    bool rehearsal = false;
  };

  /// `bias`: [n] of the type of y, or null; the f32 one of `problem` is not looked at. f32 sums,
  /// TF32 off, one rounding. Equal shapes give equal bits as long as this object lives; what was
  /// measured may differ from one run of the program to the next. `algorithm`: instead of the
  /// chosen one.
  Status matmul(const MatMul& problem,
                const void* bias,
                const Workspace& workspace,
                std::optional<int> algorithm = std::nullopt);

  /// How many algorithms the library offers for the problem. 0 is its own guess.
  Result<int> algorithms(const MatMul& problem, bool bias, int64_t workspace_bytes);

  /// "cuBLASLt 13.1.0"
  std::string version() const;

  /// "cuBLASLt 13.1.0 from /usr/local/cuda/lib64/libcublasLt.so.13"
  std::string describe() const;

 private:
  struct Impl;
  explicit CublasLt(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace tutti::cuda
