#include "plan/stored_format.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "base/checked.h"

namespace tutti {

namespace {

StoredFormat dense(const char* name, int64_t bytes) {
  const BytesPerWeight each{bytes, 1};
  return {.name = name, .experts = each, .linear = each, .other = each, .readable = true};
}

// Embedding, head and routers stay in bf16.
StoredFormat layers_only(const char* name, BytesPerWeight each) {
  return {.name = name, .experts = each, .linear = each};
}

// llama.cpp quantises every matrix; a mixture's mean bits per weight, from published file sizes.
StoredFormat gguf(const char* name, int64_t hundredths_of_bits) {
  const BytesPerWeight each{hundredths_of_bits, 800};
  return {.name = name, .experts = each, .linear = each, .other = each};
}

}  // namespace

const std::vector<StoredFormat>& stored_formats() {
  // A table, not state.
  static const std::vector<StoredFormat> kFormats = [] {
    std::vector<StoredFormat> formats{
        dense("bf16", 2),
        dense("f16", 2),
        dense("f32", 4),
        // One byte and a scale of four for each block of 128 x 128.
        layers_only("fp8", {4097, 4096}),
        // compressed-tensors, groups of 32, scales in bf16, routed experts only (Kimi-K2-Thinking).
        {.name = "int4", .experts = {18, 32}, .cpu_only = true},
        // Groups of 128: 64 bytes, a scale of two, zero points of half a byte.
        layers_only("awq-int4", {133, 256}),
        layers_only("gptq-int4", {133, 256}),
        layers_only("gptq-int8", {131, 128}),
        // bitsandbytes' NF4: half a byte, scales of one byte for 64 and of four for 16384.
        layers_only("bnb-int4", {8449, 16384}),
        // Half a byte, a scale of one byte for 16.
        layers_only("nvfp4", {9, 16}),
        gguf("gguf-bf16", 1600),
        gguf("gguf-q8_0", 850),
        gguf("gguf-q6_k", 656),
        gguf("gguf-q5_k_m", 568),
        gguf("gguf-q4_k_m", 482),
        gguf("gguf-q3_k_m", 380),
        gguf("gguf-q2_k_xl", 270),
        gguf("gguf-q2_k", 290),
        gguf("gguf-iq2_xxs", 218),
        gguf("gguf-iq1_m", 188),
        gguf("gguf-iq1_s", 156),
        gguf("mlx-8bit", 850),
        gguf("mlx-6bit", 650),
        gguf("mlx-5bit", 550),
        gguf("mlx-4bit", 450),
        gguf("mlx-3bit", 350),
        gguf("mlx-2bit", 250),
    };
    for (StoredFormat& format : formats) {
      format.readable = format.readable || format.name == "fp8";
    }
    return formats;
  }();
  return kFormats;
}

Result<StoredFormat> find_format(const std::string& name) {
  std::vector<std::string> known;
  for (const StoredFormat& format : stored_formats()) {
    if (format.name == name) {
      return format;
    }
    known.push_back(format.name);
  }
  return error(
      StatusCode::kNotFound, "no format \"{}\"; known are {}", name, fmt::join(known, ", "));
}

int64_t bytes_in(const StoredFormat& format, const Param& param) {
  const ParamSpec& spec = param.spec();
  if (!param.constant().empty()) {
    return ssize(param.constant().size() * sizeof(float));
  }
  if (param.derivation() != nullptr && !param.derivation()->keep_source) {
    return 0;
  }
  const int64_t elements = param.shape().numel();
  if (spec.sources.empty()) {
    return elements * dtype_size(DType::kBF16);
  }
  if (spec.cols == 0 || spec.dtype == DTypeRule::kF32) {
    return elements * dtype_size(DType::kF32);
  }
  const bool dense = spec.dtype == DTypeRule::kDense || spec.usually_dense;
  const BytesPerWeight& each = spec.groups > 0 ? format.experts
                               : dense         ? format.other
                                               : format.linear;
  return ceil_div(elements * each.bytes, each.weights);
}

}  // namespace tutti
