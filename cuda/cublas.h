// Matrix products by cuBLASLt, opened by name at run time: the plugin loads without it, and a
// missing library is named instead of "cannot load".
#pragma once
#include <memory>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>

#include "base/status.h"
#include "cuda/ops/matmul.h"

namespace tutti::cuda {

/// Directories where libcublasLt.so is looked for after the loader's own path.
std::vector<std::string> cublas_directories();

class CublasLt {
 public:
  /// kUnavailable lists what was tried.
  static Result<std::unique_ptr<CublasLt>> open(const std::vector<std::string>& directories);
  ~CublasLt();

  /// True if cuBLASLt takes the problem: one dense matrix, bf16 or f32 throughout (f32 results from
  /// bf16 allowed), rows of 16-byte multiples.
  static bool fits(const MatMul& problem);

  /// `bias`: [n] of the type of y, or null; the f32 one of `problem` is not looked at. f32 sums,
  /// TF32 off, one rounding. `workspace` is device memory that only this stream uses. Results
  /// depend on the shape, which decides the algorithm; equal shapes give equal bits.
  Status matmul(const MatMul& problem,
                const void* bias,
                void* workspace,
                int64_t workspace_bytes,
                cudaStream_t stream);

  /// "cuBLASLt 13.1.0 from /usr/local/cuda/lib64/libcublasLt.so.13"
  std::string describe() const;

 private:
  struct Impl;
  explicit CublasLt(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace tutti::cuda
