#include "loader/stored_values.h"

#include <cmath>
#include <cstring>

#include "base/checked.h"

namespace tutti {

namespace {

// Files promise no alignment: a header of odd length shifts every tensor behind it.
template <class T>
float unaligned(const std::byte* data, int64_t index) {
  T value;
  std::memcpy(&value, data + index * ssize(sizeof(T)), sizeof value);
  return to_float(value);
}

}  // namespace

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kF8E4M3;
}

float element(const std::byte* data, DType dtype, int64_t index) {
  switch (dtype) {
    case DType::kF32:
      return unaligned<float>(data, index);
    case DType::kF16:
      return unaligned<F16>(data, index);
    case DType::kBF16:
      return unaligned<BF16>(data, index);
    case DType::kF8E4M3:
      return unaligned<F8E4M3>(data, index);
    default:
      TUTTI_CHECK(false);
      return 0;
  }
}

void store_dense(std::byte* data, DType dtype, int64_t index, float value) {
  switch (dtype) {
    case DType::kF32:
      reinterpret_cast<float*>(data)[index] = value;
      break;
    case DType::kF16:
      reinterpret_cast<F16*>(data)[index] = to_f16(value);
      break;
    case DType::kBF16:
      reinterpret_cast<BF16*>(data)[index] = to_bf16(value);
      break;
    default:
      TUTTI_CHECK(false);
  }
}

float scale_at(const TensorRef& scale, int64_t row, int64_t col) {
  const int64_t cols = scale.entry->dims[1];
  return element(scale.data(), scale.entry->dtype, row * cols + col);
}

Range blocks_of(Range range, int64_t block) {
  const int64_t first = range.begin / block;
  return {first, ceil_div(range.end(), block) - first};
}

ScaleBlocks scale_blocks(const ParamSpec& spec, const ParamSource& source, const QuantConfig& q) {
  return {blocks_of(source.take, q.block_rows), blocks_of(spec.take_cols, q.block_cols)};
}

Status read_scales(const TensorRef& scale, const ScaleBlocks& blocks, std::vector<float>& out) {
  for (int64_t r = blocks.rows.begin; r < blocks.rows.end(); ++r) {
    for (int64_t c = blocks.cols.begin; c < blocks.cols.end(); ++c) {
      const float value = scale_at(scale, r, c);
      if (!std::isfinite(value)) {
        return error(StatusCode::kCorrupt,
                     "{}: {}: scale [{}, {}] is {}, wanted a finite number",
                     scale.file->path(),
                     scale.entry->name,
                     r,
                     c,
                     value);
      }
      out.push_back(value);
    }
  }
  return ok_status();
}

}  // namespace tutti
