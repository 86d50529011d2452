#include "golden/npy.h"

#include <cstdio>
#include <cstring>

#include "base/file.h"

namespace tutti::testing {

Result<NpyMatrix> read_npy(const std::string& path) {
  TUTTI_TRY(const std::string data, read_file(path));
  if (data.size() < 10 || data.compare(0, 6, "\x93NUMPY") != 0) {
    return invalid("{}: not a .npy file", path);
  }
  const size_t header =
      static_cast<uint8_t>(data[8]) + (static_cast<size_t>(static_cast<uint8_t>(data[9])) << 8U);
  const std::string text = data.substr(10, header);
  const size_t at = text.find("'shape': (");
  long long rows = 0;
  long long cols = 0;
  if (text.find("'<f4'") == std::string::npos || at == std::string::npos ||
      std::sscanf(text.c_str() + at, "'shape': (%lld, %lld)", &rows, &cols) != 2) {
    return invalid("{}: wanted a float32 matrix, header is {}", path, text);
  }
  NpyMatrix matrix{
      .rows = rows, .cols = cols, .values = std::vector<float>(static_cast<size_t>(rows * cols))};
  if (data.size() != 10 + header + matrix.values.size() * sizeof(float)) {
    return invalid("{}: {} bytes do not match shape ({}, {})", path, data.size(), rows, cols);
  }
  std::memcpy(
      matrix.values.data(), data.data() + 10 + header, matrix.values.size() * sizeof(float));
  return matrix;
}

}  // namespace tutti::testing
