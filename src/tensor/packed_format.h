// Formats of compressed-tensors (its formats.md and compressors/quantized_compressors of version
// 0.20): integers packed into words of 32 bits, bytes, and e4m3 with scales of any cell.
#pragma once
#include "tensor/weight_format.h"

namespace tutti {

/// What a checkpoint says of its packed integers.
struct PackedIntegers {
  int bits = 4;                 ///< 4 or 8
  DType scales = DType::kBF16;  ///< BF16, F16 or F32
  bool symmetric = true;        ///< no zero points
};

/// "pack-quantized": w[n, k] = (q - zero) * scale, rounded to the type of the scales, where
/// - q + 2^(bits - 1) is `bits` bits of word k * bits / 32 of row n, lowest first; a row ends with
/// a
///   whole word;
/// - scale[n, k / group] is of the checkpoint's block {1, group};
/// - zero + 2^(bits - 1) is `bits` bits of word n * bits / 32 of column k / group; 0 if symmetric.
const WeightFormat& packed_format(const PackedIntegers& what);

/// All of them.
std::span<const WeightFormat* const> packed_formats();

/// "int-quantized": signed bytes times one f32 scale per block of the checkpoint.
extern const WeightFormat kI8Weights;

/// "float-quantized": e4m3 times one f32 scale per block of the checkpoint: a row, the matrix or a
/// rectangle.
extern const WeightFormat kE4M3ScaledWeights;

}  // namespace tutti
