#include "tensor/weight_format.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string_view>
#include <vector>

#include "base/checked.h"
#include "tensor/packed_format.h"

namespace tutti {

namespace {

// Files promise no alignment: a header of odd length shifts every tensor behind it.
template <class T>
T unaligned(const std::byte* data, int64_t index) {
  T value;
  std::memcpy(&value, data + index * ssize(sizeof(T)), sizeof value);
  return value;
}

template <class T>
void dequantise_dense(const WeightRow& row, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    out[i] = to_float(unaligned<T>(row.planes[0], i));
  }
}

void dequantise_e4m3_blocks(const WeightRow& row, int64_t count, float* out) {
  dequantise_dense<F8E4M3>(row, count, out);
  const int64_t width = row.cells[1].cols;
  int64_t end = width - row.col % width;  // of the block, counted from row.col
  for (int64_t i = 0, block = 0; i < count; ++block, end += width) {
    const float scale = unaligned<float>(row.planes[1], block);
    for (; i < std::min(end, count); ++i) {
      out[i] *= scale;
    }
  }
}

template <class T>
void put(std::byte* out, T value) {
  std::memcpy(out, &value, sizeof value);
}

void make_up_f32(int, float uniform, float amplitude, std::byte* out) {
  put(out, uniform * amplitude);
}

void make_up_f16(int, float uniform, float amplitude, std::byte* out) {
  put(out, to_f16(uniform * amplitude));
}

void make_up_bf16(int, float uniform, float amplitude, std::byte* out) {
  put(out, to_bf16(uniform * amplitude));
}

// Values fill the range of the type, as a quantiser makes them; scales differ by up to a half.
void make_up_e4m3_blocks(int plane, float uniform, float amplitude, std::byte* out) {
  constexpr float kLargest = 448.0F;
  if (plane == 0) {
    put(out, to_f8e4m3(uniform * 2 * kLargest));
  } else {
    put(out, (0.75F + uniform / 2) * amplitude / (2 * kLargest));
  }
}

constexpr WeightFormat dense(const char* name, WeightKernels kernels, DType dtype) {
  WeightFormat format{.name = name, .kernels = kernels, .plane_count = 1};
  format.planes[0] = {.name = "values", .dtype = dtype};
  return format;
}

constexpr WeightFormat f32_weights() {
  WeightFormat format = dense("F32", WeightKernels::kF32, DType::kF32);
  format.dequantise = dequantise_dense<float>;
  format.make_up = make_up_f32;
  return format;
}

constexpr WeightFormat f16_weights() {
  WeightFormat format = dense("F16", WeightKernels::kF16, DType::kF16);
  format.dequantise = dequantise_dense<F16>;
  format.make_up = make_up_f16;
  return format;
}

constexpr WeightFormat bf16_weights() {
  WeightFormat format = dense("BF16", WeightKernels::kBF16, DType::kBF16);
  format.dequantise = dequantise_dense<BF16>;
  format.make_up = make_up_bf16;
  return format;
}

}  // namespace

constinit const WeightFormat kF32Weights = f32_weights();
constinit const WeightFormat kF16Weights = f16_weights();
constinit const WeightFormat kBF16Weights = bf16_weights();

constinit const WeightFormat kE4M3BlockWeights{
    .name = "F8_E4M3 blocks",
    .kernels = WeightKernels::kE4M3Blocks,
    .plane_count = 2,
    .planes = {{{.name = "values", .dtype = DType::kF8E4M3},
                {.name = "scales",
                 .suffix = "_scale_inv",
                 .dtype = DType::kF32,
                 .cell = kCheckpointBlock,
                 .repeatable = true,
                 .from_any_float = true}}},
    .preferred_unit = 16,  // rows of 16 bytes, as bulk copies and matrix units read them
    .dequantise = dequantise_e4m3_blocks,
    .make_up = make_up_e4m3_blocks};

int64_t WeightFormat::activation_row_bytes(int64_t cols) const {
  if (kernels != WeightKernels::kE4M3Blocks) {
    return 0;
  }
  constexpr int64_t kWhole = 16;
  constexpr int64_t kBlock = 128;
  return ceil_div(cols, kWhole) * kWhole +
         ceil_div(ceil_div(cols, kBlock) * ssize(sizeof(float)), kWhole) * kWhole;
}

std::span<const WeightFormat* const> weight_formats() {
  static const std::vector<const WeightFormat*> formats = [] {
    std::vector<const WeightFormat*> all{&kF32Weights,
                                         &kF16Weights,
                                         &kBF16Weights,
                                         &kE4M3BlockWeights,
                                         &kE4M3ScaledWeights,
                                         &kI8Weights};
    all.insert(all.end(), packed_formats().begin(), packed_formats().end());
    return all;
  }();
  return formats;
}

const WeightFormat* with_scales(const WeightFormat& format, DType scales) {
  const auto same = [](const WeightPlane& a, const WeightPlane& b) {
    return std::string_view(a.suffix) == b.suffix && a.cell == b.cell && a.elements == b.elements;
  };
  for (const WeightFormat* other : weight_formats()) {
    bool fits = other->plane_count == format.plane_count && other->plane_count > 1 &&
                other->planes[1].dtype == scales;
    for (size_t p = 0; fits && p < usize(format.plane_count); ++p) {
      fits = same(other->planes[p], format.planes[p]) &&
             (p == 1 || other->planes[p].dtype == format.planes[p].dtype);
    }
    if (fits) {
      return other;
    }
  }
  return nullptr;
}

const WeightFormat* dense_format(DType dtype) {
  for (const WeightFormat* format : {&kF32Weights, &kF16Weights, &kBF16Weights}) {
    if (format->planes[0].dtype == dtype) {
      return format;
    }
  }
  return nullptr;
}

WeightLayout WeightLayout::of(const WeightFormat& format, WeightCell block) {
  WeightLayout layout{.format = &format};
  for (size_t p = 0; p < usize(format.plane_count); ++p) {
    const WeightCell cell = format.planes[p].cell;
    layout.cells[p] = {cell.rows == 0 ? block.rows : cell.rows,
                       cell.cols == 0 ? block.cols : cell.cols};
  }
  return layout;
}

Shape WeightLayout::plane_shape(int plane, const Shape& weight) const {
  if (weight.rank() == 1) {
    TUTTI_CHECK(format->dense());
    return weight;
  }
  const WeightCell cell = cells[usize(plane)];
  Shape shape = weight;
  int64_t& rows = shape[shape.rank() - 2];
  int64_t& cols = shape[shape.rank() - 1];
  rows = ceil_div(rows, cell.rows);
  cols = ceil_div(cols, cell.cols) * format->planes[usize(plane)].elements;
  return shape;
}

int64_t WeightLayout::bytes(const Shape& weight) const {
  int64_t bytes = 0;
  for (int p = 0; p < format->plane_count; ++p) {
    bytes += plane_shape(p, weight).numel() * dtype_size(format->planes[usize(p)].dtype);
  }
  return bytes;
}

WeightUnits WeightLayout::units() const {
  WeightUnits units;
  for (size_t p = 0; p < usize(format->plane_count); ++p) {
    if (!format->planes[p].repeatable) {
      units.whole = std::lcm(units.whole, std::lcm(cells[p].rows, cells[p].cols));
    }
  }
  units.preferred = std::lcm(units.whole, format->preferred_unit);
  return units;
}

}  // namespace tutti
