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

template <class T>
void convert(const std::byte* data, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    out[i] = unaligned<T>(data, i);
  }
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

void to_floats(const std::byte* data, DType dtype, int64_t count, float* out) {
  switch (dtype) {
    case DType::kF32:
      return convert<float>(data, count, out);
    case DType::kF16:
      return convert<F16>(data, count, out);
    case DType::kBF16:
      return convert<BF16>(data, count, out);
    case DType::kF8E4M3:
      return convert<F8E4M3>(data, count, out);
    default:
      TUTTI_CHECK(false);
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

Range blocks_of(Range range, int64_t block) {
  const int64_t first = range.begin / block;
  return {first, ceil_div(range.end(), block) - first};
}

ScaleBlocks scale_blocks(const ParamSpec& spec, const ParamSource& source, const QuantConfig& q) {
  return {blocks_of(source.take, q.block_rows), blocks_of(spec.take_cols, q.block_cols)};
}

Status read_scales(const TensorRef& scale, const ScaleBlocks& blocks, std::vector<float>& out) {
  // Whole rows in one read: the grids are small, and cutting them costs a system call per row.
  const int64_t cols = scale.entry->dims[1];
  const DType dtype = scale.entry->dtype;
  const int64_t row_bytes = cols * dtype_size(dtype);
  std::vector<std::byte> stored(usize(blocks.rows.count * row_bytes));
  TUTTI_RETURN_IF_ERROR(
      scale.read(blocks.rows.begin * row_bytes, ssize(stored.size()), stored.data()));
  for (int64_t r = 0; r < blocks.rows.count; ++r) {
    for (int64_t c = blocks.cols.begin; c < blocks.cols.end(); ++c) {
      const float value = element(stored.data(), dtype, r * cols + c);
      if (!std::isfinite(value)) {
        return error(StatusCode::kCorrupt,
                     "{}: {}: scale [{}, {}] is {}, wanted a finite number",
                     scale.file->path(),
                     scale.entry->name,
                     blocks.rows.begin + r,
                     c,
                     value);
      }
      out.push_back(value);
    }
  }
  return ok_status();
}

}  // namespace tutti
