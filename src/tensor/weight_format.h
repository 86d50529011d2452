// How weight matrices are stored: one table. A format is a few planes (values, scales, ...), each a
// grid with one entry per cell of the matrix. The loader, partitions, memory plans, the reference,
// made-up weights and tests are fed from its rows; only fast kernels know a format by name. Adding
// one: CONTRIBUTING.md; why: docs/adr/0028-weight-formats.md.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace tutti {

/// Most planes of a format: values, scales, zero points.
constexpr int kMaxWeightPlanes = 3;

/// A dimension of a cell that is as long as the matrix, whatever its shape: one scale per row.
constexpr int64_t kWholeSide = int64_t{1} << 40;

/// The weights that share one entry of a plane. The first cell begins at the first row and column.
struct WeightCell {
  int64_t rows = 1;
  int64_t cols = 1;

  bool operator==(const WeightCell&) const = default;
};

/// As the cell of a plane: the checkpoint says how large it is (weight_block_size). A single side
/// of 0 is the checkpoint's as well.
constexpr WeightCell kCheckpointBlock{0, 0};

struct WeightPlane {
  const char* name = "";    ///< for messages
  const char* suffix = "";  ///< of the checkpoint's tensor, behind the weight's name
  DType dtype = DType::kF32;
  WeightCell cell;
  int64_t elements = 1;  ///< of an entry, side by side along the columns
  /// Entries may be repeated: a shard that begins or ends inside a cell gets smaller cells with the
  /// same entries (a scale holds for any part of its block). Otherwise no cut goes through a cell.
  bool repeatable = false;
  /// Checkpoints may store any float type; it is converted to `dtype`.
  bool from_any_float = false;
};

/// One row of a weight, from column `col` on.
struct WeightRow {
  /// Of each plane the entry whose cell holds (row, col); of any alignment.
  std::array<const std::byte*, kMaxWeightPlanes> planes{};
  std::array<WeightCell, kMaxWeightPlanes> cells{};
  int64_t row = 0;
  int64_t col = 0;
};

/// Which kernels know the format. The others ask dequantise(), or refuse the weight.
enum class WeightKernels : uint8_t { kF32, kF16, kBF16, kE4M3Blocks, kNone };

struct WeightFormat {
  const char* name = "";  ///< for messages: "BF16"
  WeightKernels kernels = WeightKernels::kNone;
  int plane_count = 0;
  std::array<WeightPlane, kMaxWeightPlanes> planes{};  ///< values first: cells of one row
  /// Of every plane in device memory, in bytes.
  int64_t alignment = 128;
  /// Shards begin at multiples of so many rows or columns where there are enough of them, because
  /// fast kernels want it.
  int64_t preferred_unit = 1;
  /// Writes weights [row.col, row.col + count) as f32, each rounded once at most.
  void (*dequantise)(const WeightRow& row, int64_t count, float* out) = nullptr;
  /// Writes an entry of a plane of made-up weights, which are at most amplitude / 2 in magnitude;
  /// `uniform` is a random number from [-0.5, 0.5).
  void (*make_up)(int plane, float uniform, float amplitude, std::byte* out) = nullptr;

  std::span<const WeightPlane> all_planes() const {
    return {planes.data(), static_cast<size_t>(plane_count)};
  }

  /// What a row of `cols` activations takes in the form that the matrix units multiply these
  /// weights by, in bytes; 0 if they take activations as they are. Of E4M3 blocks: e4m3 values,
  /// then an f32 factor per 128 of them, both filled up to whole 16 bytes.
  int64_t activation_row_bytes(int64_t cols) const;

  /// One plane of plain numbers.
  bool dense() const { return kernels <= WeightKernels::kBF16; }
};

/// w[n, k] = values[n, k].
extern const WeightFormat kF32Weights;
extern const WeightFormat kF16Weights;
extern const WeightFormat kBF16Weights;
/// w[n, k] = f32(values[n, k]) * scales[n / cell.rows, k / cell.cols], rounded to f32: values in
/// e4m3, one f32 scale per block. DeepSeek-V3's `weight_scale_inv` (arXiv:2412.19437 section 3.3).
extern const WeightFormat kE4M3BlockWeights;

/// The formats that checkpoints may have.
std::span<const WeightFormat* const> weight_formats();

/// The format that differs from this one in the type of its scales alone; nullptr: there is none.
const WeightFormat* with_scales(const WeightFormat& format, DType scales);

/// F32, F16 or BF16; nullptr for other types.
const WeightFormat* dense_format(DType dtype);

/// In what units a dimension of weights is split over ranks.
struct WeightUnits {
  int64_t whole = 1;      ///< no cut within
  int64_t preferred = 1;  ///< no cut within, if every rank gets at least one; a multiple of `whole`
};

/// A format with the cells that a weight has: those of the checkpoint, or of a shard smaller ones.
struct WeightLayout {
  const WeightFormat* format = nullptr;
  std::array<WeightCell, kMaxWeightPlanes> cells{};

  /// The sides of `block` take the place of those that are the checkpoint's.
  static WeightLayout of(const WeightFormat& format, WeightCell block = {});

  /// Of plane `plane` of a weight of shape [n] (dense), [n, k] or [g, n, k].
  Shape plane_shape(int plane, const Shape& weight) const;

  /// Of all planes.
  int64_t bytes(const Shape& weight) const;

  /// For rows and columns alike: one dimension of a model is the rows of some weights and the
  /// columns of others.
  WeightUnits units() const;
};

}  // namespace tutti
