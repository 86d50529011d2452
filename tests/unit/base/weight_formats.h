// Formats that only tests know: rows of the table in tensor/weight_format.h which no kernel was
// written for, so that whatever handles them takes all it knows from the row.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/weight_format.h"

namespace tutti::testing {

template <class T>
T entry(const std::byte* plane, int64_t index = 0) {
  T value;
  std::memcpy(&value, plane + index * static_cast<int64_t>(sizeof(T)), sizeof value);
  return value;
}

/// w[n, k] = values[n, k] * scales[n]: signed bytes, one f32 scale per row.
inline const WeightFormat kI8RowWeights{
    .name = "I8 rows",
    .plane_count = 2,
    .planes = {{{.name = "values", .dtype = DType::kI8},
                {.name = "scales",
                 .suffix = "_scale",
                 .dtype = DType::kF32,
                 .cell = {1, kWholeSide},
                 .repeatable = true,
                 .from_any_float = true}}},
    .dequantise =
        [](const WeightRow& row, int64_t count, float* out) {
          for (int64_t i = 0; i < count; ++i) {
            out[i] =
                static_cast<float>(entry<int8_t>(row.planes[0], i)) * entry<float>(row.planes[1]);
          }
        },
    .make_up =
        [](int plane, float uniform, float amplitude, std::byte* out) {
          const auto value = static_cast<int8_t>(std::lround(uniform * 254));
          const float scale = amplitude / 254;
          plane == 0 ? std::memcpy(out, &value, 1) : std::memcpy(out, &scale, sizeof scale);
        }};

/// w[n, k] = (nibble k % 8 of values[n, k / 8] - 8) * scales[n, k / 16]: words of eight weights,
/// lowest bits first, and groups of 16, neither of which may be cut.
inline const WeightFormat kU4GroupWeights{
    .name = "U4 groups of 16",
    .plane_count = 2,
    .planes = {{{.name = "values", .suffix = "_packed", .dtype = DType::kI32, .cell = {1, 8}},
                {.name = "scales", .suffix = "_scale", .dtype = DType::kF16, .cell = {1, 16}}}},
    .dequantise =
        [](const WeightRow& row, int64_t count, float* out) {
          for (int64_t i = 0; i < count; ++i) {
            const int64_t col = row.col + i;
            const auto word = entry<uint32_t>(row.planes[0], col / 8 - row.col / 8);
            const auto code = static_cast<int>(word >> (4 * (col % 8)) & 15U) - 8;
            out[i] = static_cast<float>(code) *
                     to_float(entry<F16>(row.planes[1], col / 16 - row.col / 16));
          }
        },
    .make_up =
        [](int plane, float uniform, float amplitude, std::byte* out) {
          const auto word = static_cast<uint32_t>((uniform + 0.5F) * 0x1p24F) * 2654435761U;
          const F16 scale = to_f16(amplitude / 16);
          plane == 0 ? std::memcpy(out, &word, sizeof word)
                     : std::memcpy(out, &scale, sizeof scale);
        }};

}  // namespace tutti::testing
