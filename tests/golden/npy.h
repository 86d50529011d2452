// Reads the float32 .npy files of the fixtures.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace tutti::testing {

struct NpyMatrix {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<float> values;
};

Result<NpyMatrix> read_npy(const std::string& path);

}  // namespace tutti::testing
