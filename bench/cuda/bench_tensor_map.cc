// tensor_map.h for a file that nvcc compiles.
#include <cstdio>

#include "cuda/kernels/tensor_map.h"

bool bench_tensor_map(
    const void* data, int64_t rows, int64_t cols, int box_rows, CUtensorMap* out) {
  tutti::Result<CUtensorMap> map =
      tutti::cuda::make_bf16_tensor_map(data, rows, cols, cols, box_rows);
  if (!map.ok()) {
    std::printf("%s\n", map.status().message().c_str());
    return false;
  }
  *out = *map;
  return true;
}
