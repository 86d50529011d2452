#include "tensor/packed_format.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"

namespace tutti {

namespace {

constexpr int kWordBits = 32;

template <class T>
T entry(const std::byte* plane, int64_t index = 0) {
  T value;
  std::memcpy(&value, plane + index * ssize(sizeof(T)), sizeof value);
  return value;
}

template <class T>
void put(std::byte* out, T value) {
  std::memcpy(out, &value, sizeof value);
}

float rounded(float x, float) {
  return x;
}

float rounded(float x, BF16) {
  return to_float(to_bf16(x));
}

float rounded(float x, F16) {
  return to_float(to_f16(x));
}

float stored(float x, float) {
  return x;
}

BF16 stored(float x, BF16) {
  return to_bf16(x);
}

F16 stored(float x, F16) {
  return to_f16(x);
}

// Number `index` of a word.
template <int kBits>
int unpack(uint32_t word, int64_t index) {
  constexpr int64_t kPer = kWordBits / kBits;
  constexpr uint32_t kMask = (1U << kBits) - 1;
  return static_cast<int>(word >> static_cast<unsigned>(kBits * (index % kPer)) & kMask) -
         (1 << (kBits - 1));
}

template <int kBits, class Scale, bool kZeros>
void dequantise_packed(const WeightRow& row, int64_t count, float* out) {
  constexpr int64_t kPer = kWordBits / kBits;
  const int64_t first_word = row.col / kPer;
  const int64_t group = row.cells[1].cols;
  const int64_t end = row.col + count;
  // Groups of scales may be parts of those of the zero points.
  for (int64_t col = row.col; col < end;) {
    const int64_t group_end = std::min(end, (col / group + 1) * group);
    const auto scale_stored = entry<Scale>(row.planes[1], col / group - row.col / group);
    const float scale = to_float(scale_stored);
    int zero = 0;
    if constexpr (kZeros) {
      const int64_t width = row.cells[2].cols;
      zero = unpack<kBits>(entry<uint32_t>(row.planes[2], col / width - row.col / width), row.row);
    }
    while (col < group_end) {
      const auto word = entry<uint32_t>(row.planes[0], col / kPer - first_word);
      const int64_t word_end = std::min(group_end, (col / kPer + 1) * kPer);
      for (; col < word_end; ++col) {
        const auto q = static_cast<float>(unpack<kBits>(word, col) - zero);
        out[col - row.col] = rounded(q * scale, scale_stored);
      }
    }
  }
}

template <class Value>
void dequantise_scaled(const WeightRow& row, int64_t count, float* out) {
  const int64_t width = row.cells[1].cols;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t col = row.col + i;
    const auto value = entry<Value>(row.planes[0], i);
    float q = 0;
    if constexpr (std::is_integral_v<Value>) {
      q = static_cast<float>(value);
    } else {
      q = to_float(value);
    }
    out[i] = q * entry<float>(row.planes[1], col / width - row.col / width);
  }
}

// Codes fill their range, as a quantiser makes them; scales differ by up to a half.
template <int kBits, class Scale>
void make_up_packed(int plane, float uniform, float amplitude, std::byte* out) {
  if (plane == 1) {
    const float largest = static_cast<float>(1 << kBits);
    put(out, stored((0.75F + uniform / 2) * amplitude / largest, Scale{}));
  } else if (plane == 0) {
    // 24 random bits spread over the word.
    const auto bits = static_cast<uint32_t>((uniform + 0.5F) * 0x1p24F);
    put(out, bits * 2654435761U ^ bits << 7U);
  } else {
    put(out, kBits == 4 ? 0x88888888U : 0x80808080U);
  }
}

void make_up_i8(int plane, float uniform, float amplitude, std::byte* out) {
  constexpr float kLargest = 127.0F;
  if (plane == 0) {
    put(out, static_cast<int8_t>(uniform * 2 * kLargest));
  } else {
    put(out, (0.75F + uniform / 2) * amplitude / (2 * kLargest));
  }
}

void make_up_e4m3(int plane, float uniform, float amplitude, std::byte* out) {
  kE4M3BlockWeights.make_up(plane, uniform, amplitude, out);
}

template <int kBits, class Scale, bool kZeros>
constexpr WeightFormat packed(const char* name) {
  constexpr int64_t kPer = kWordBits / kBits;
  WeightFormat format{.name = name, .plane_count = kZeros ? 3 : 2};
  format.planes[0] = {
      .name = "values", .suffix = "_packed", .dtype = DType::kI32, .cell = {1, kPer}};
  format.planes[1] = {.name = "scales",
                      .suffix = "_scale",
                      .dtype = DTypeOf<Scale>::kValue,
                      .cell = {1, 0},
                      .repeatable = true};
  if (kZeros) {
    format.planes[2] = {
        .name = "zero points", .suffix = "_zero_point", .dtype = DType::kI32, .cell = {kPer, 0}};
  }
  format.preferred_unit = 32;  // whole 16 bytes of four bits
  format.dequantise = dequantise_packed<kBits, Scale, kZeros>;
  format.make_up = make_up_packed<kBits, Scale>;
  return format;
}

constexpr WeightFormat scaled(const char* name, DType values) {
  WeightFormat format{.name = name, .plane_count = 2};
  format.planes[0] = {.name = "values", .dtype = values};
  format.planes[1] = {.name = "scales",
                      .suffix = "_scale",
                      .dtype = DType::kF32,
                      .cell = kCheckpointBlock,
                      .repeatable = true,
                      .from_any_float = true};
  format.preferred_unit = 16;
  return format;
}

constexpr WeightFormat i8_weights() {
  WeightFormat format = scaled("I8 scaled", DType::kI8);
  format.dequantise = dequantise_scaled<int8_t>;
  format.make_up = make_up_i8;
  return format;
}

constexpr WeightFormat e4m3_weights() {
  WeightFormat format = scaled("F8_E4M3 scaled", DType::kF8E4M3);
  format.dequantise = dequantise_scaled<F8E4M3>;
  format.make_up = make_up_e4m3;
  return format;
}

// By bits, type of the scales, zero points.
constinit const WeightFormat kPacked[2][3][2] = {
    {{packed<4, BF16, false>("INT4, BF16 scales"),
      packed<4, BF16, true>("INT4, BF16 scales, zeros")},
     {packed<4, F16, false>("INT4, F16 scales"), packed<4, F16, true>("INT4, F16 scales, zeros")},
     {packed<4, float, false>("INT4, F32 scales"),
      packed<4, float, true>("INT4, F32 scales, zeros")}},
    {{packed<8, BF16, false>("INT8, BF16 scales"),
      packed<8, BF16, true>("INT8, BF16 scales, zeros")},
     {packed<8, F16, false>("INT8, F16 scales"), packed<8, F16, true>("INT8, F16 scales, zeros")},
     {packed<8, float, false>("INT8, F32 scales"),
      packed<8, float, true>("INT8, F32 scales, zeros")}}};

constexpr std::array<const WeightFormat*, 12> kAllPacked{&kPacked[0][0][0],
                                                         &kPacked[0][0][1],
                                                         &kPacked[0][1][0],
                                                         &kPacked[0][1][1],
                                                         &kPacked[0][2][0],
                                                         &kPacked[0][2][1],
                                                         &kPacked[1][0][0],
                                                         &kPacked[1][0][1],
                                                         &kPacked[1][1][0],
                                                         &kPacked[1][1][1],
                                                         &kPacked[1][2][0],
                                                         &kPacked[1][2][1]};

}  // namespace

constinit const WeightFormat kI8Weights = i8_weights();
constinit const WeightFormat kE4M3ScaledWeights = e4m3_weights();

const WeightFormat& packed_format(const PackedIntegers& what) {
  TUTTI_CHECK(what.bits == 4 || what.bits == 8);
  const int scales = what.scales == DType::kBF16 ? 0 : what.scales == DType::kF16 ? 1 : 2;
  return kPacked[what.bits == 4 ? 0 : 1][scales][what.symmetric ? 0 : 1];
}

std::span<const WeightFormat* const> packed_formats() {
  return kAllPacked;
}

}  // namespace tutti
