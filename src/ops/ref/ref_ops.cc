#include "ops/ref/ref_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "ops/strided.h"

namespace tutti {

namespace {

template <class T>
void copy_as_f32(float* y, const T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = to_float(x[i]);
  }
}

void norm_row(float* y, const float* x, const float* weight, int64_t d, float eps) {
  double squares = 0;
  for (int64_t i = 0; i < d; ++i) {
    squares += static_cast<double>(x[i]) * x[i];
  }
  const double scale = 1.0 / std::sqrt(squares / static_cast<double>(d) + eps);
  for (int64_t i = 0; i < d; ++i) {
    y[i] = static_cast<float>(x[i] * scale * weight[i]);
  }
}

struct Weighed {
  int32_t id = 0;
  float logit = 0.0F;
  float weight = 0.0F;
};

double mass(std::span<const Weighed> ids) {
  return std::accumulate(
      ids.begin(), ids.end(), 0.0, [](double sum, const Weighed& w) { return sum + w.weight; });
}

int32_t draw_token(std::span<const float> logits, int32_t best, const DrawParams& params) {
  std::vector<Weighed> kept;
  const float scale = 1.0F / std::max(params.temperature, 1e-6F);
  for (size_t i = 0; i < logits.size(); ++i) {
    const float exponent = (logits[i] - logits[usize(best)]) * scale;
    kept.push_back({narrow<int32_t>(i), logits[i], exponent < -60.0F ? 0.0F : std::exp(exponent)});
  }
  std::stable_sort(kept.begin(), kept.end(), [](const Weighed& a, const Weighed& b) {
    return a.logit > b.logit;
  });
  if (params.top_k > 0) {
    kept.resize(std::min(kept.size(), usize(params.top_k)));
  }
  if (params.top_p < 1.0F) {
    const double target = mass(kept) * static_cast<double>(params.top_p);
    size_t count = 0;
    for (double sum = 0; count < kept.size() && sum < target; ++count) {
      sum += kept[count].weight;
    }
    kept.resize(std::max<size_t>(1, count));
  }
  std::erase_if(kept, [&](const Weighed& w) { return w.weight < params.min_p; });
  std::sort(
      kept.begin(), kept.end(), [](const Weighed& a, const Weighed& b) { return a.id < b.id; });
  const uint64_t units = uint64_t{params.uniform_high} << 32U | params.uniform_low;
  const double target = mass(kept) * static_cast<double>(units) * 0x1p-53;
  int32_t token = best;
  double sum = 0;
  for (const Weighed& w : kept) {
    if (w.weight > 0.0F) {
      token = w.id;  // the last one if rounding keeps the sum below the target
      sum += w.weight;
      if (sum > target) {
        break;
      }
    }
  }
  return token;
}

}  // namespace

std::unique_ptr<Ops> make_ref_ops() {
  return std::make_unique<RefOps>();
}

void RefOps::do_embedding(TensorView y,
                          ConstTensorView table,
                          ConstTensorView ids,
                          int64_t first_id) {
  const int64_t d = y.dim(1);
  for (int64_t t = 0; t < y.dim(0); ++t) {
    float* row = row_of<float>(y, t);
    const int64_t id = ids.data<int32_t>()[t] - first_id;
    if (id < 0 || id >= table.dim(0)) {
      std::fill_n(row, d, 0.0F);
    } else if (table.dtype() == DType::kF32) {
      copy_as_f32(row, row_of<float>(table, id), d);
    } else if (table.dtype() == DType::kF16) {
      copy_as_f32(row, row_of<F16>(table, id), d);
    } else {
      copy_as_f32(row, row_of<BF16>(table, id), d);
    }
  }
}

void RefOps::do_rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) {
  const TensorView y3 = as_rank3(y);
  const ConstTensorView x3 = as_rank3(x);
  for (int64_t t = 0; t < x3.dim(0); ++t) {
    for (int64_t h = 0; h < x3.dim(1); ++h) {
      norm_row(
          row_of<float>(y3, t, h), row_of<float>(x3, t, h), weight.data<float>(), x3.dim(2), eps);
    }
  }
}

void RefOps::do_add_rms_norm(
    TensorView y, TensorView residual, ConstTensorView x, ConstTensorView weight, float eps) {
  do_add(residual, x);
  do_rms_norm(y, residual, weight, eps);
}

void RefOps::do_add(TensorView y, ConstTensorView x) {
  for (int64_t t = 0; t < y.dim(0); ++t) {
    for (int64_t i = 0; i < y.dim(1); ++i) {
      row_of<float>(y, t)[i] += row_of<float>(x, t)[i];
    }
  }
}

void RefOps::do_silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) {
  for (int64_t t = 0; t < y.dim(0); ++t) {
    for (int64_t i = 0; i < y.dim(1); ++i) {
      const double z = row_of<float>(gate, t)[i];
      const double u = row_of<float>(up, t)[i];
      row_of<float>(y, t)[i] = static_cast<float>(z / (1.0 + std::exp(-z)) * u);
    }
  }
}

void RefOps::do_rope_table(TensorView table,
                           ConstTensorView positions,
                           ConstTensorView inv_freq,
                           float scale) {
  const int64_t half = inv_freq.dim(0);
  for (int64_t t = 0; t < table.dim(0); ++t) {
    float* row = row_of<float>(table, t);
    const auto position = static_cast<float>(positions.data<int32_t>()[t]);
    for (int64_t i = 0; i < half; ++i) {
      const float angle = position * inv_freq.data<float>()[i];  // rounded to f32 on purpose
      row[i] = static_cast<float>(scale * std::cos(static_cast<double>(angle)));
      row[half + i] = static_cast<float>(scale * std::sin(static_cast<double>(angle)));
    }
  }
}

void RefOps::do_rope(TensorView x, ConstTensorView table, RopeLayout layout) {
  const int64_t half = x.dim(2) / 2;
  const bool interleaved = layout == RopeLayout::kInterleaved;
  for (int64_t t = 0; t < x.dim(0); ++t) {
    const float* cos = row_of<float>(table, t);
    const float* sin = cos + half;
    for (int64_t h = 0; h < x.dim(1); ++h) {
      float* row = row_of<float>(x, t, h);
      for (int64_t i = 0; i < half; ++i) {
        float& first = row[interleaved ? 2 * i : i];
        float& second = row[interleaved ? 2 * i + 1 : i + half];
        const double a = first;
        const double b = second;
        first = static_cast<float>(a * cos[i] - b * sin[i]);
        second = static_cast<float>(b * cos[i] + a * sin[i]);
      }
    }
  }
}

void RefOps::do_write_kv(TensorView cache, ConstTensorView x, ConstTensorView slots) {
  const int64_t block_size = cache.dim(1);
  for (int64_t t = 0; t < x.dim(0); ++t) {
    const int64_t slot = slots.data<int32_t>()[t];
    if (slot >= 0) {
      std::copy_n(row_of<float>(x, t),
                  x.dim(1),
                  row_of<float>(cache, slot / block_size, slot % block_size));
    }
  }
}

void RefOps::do_gather_kv(TensorView y,
                          ConstTensorView cache,
                          const AttentionBatch& batch,
                          ConstTensorView key_begin) {
  const auto* begin = key_begin.data<int32_t>();
  for (int64_t s = 0; s < batch.context_before.dim(0); ++s) {
    const auto* blocks = row_of<int32_t>(batch.block_table, s);
    for (int64_t row = begin[s]; row < begin[s + 1]; ++row) {
      std::copy_n(cached_row(cache, blocks, row - begin[s]), y.dim(1), row_of<float>(y, row));
    }
  }
}

void RefOps::do_gather_rows(TensorView y, ConstTensorView x, ConstTensorView rows) {
  for (int64_t r = 0; r < y.dim(0); ++r) {
    const int64_t from = rows.data<int32_t>()[r];
    if (y.dtype() == DType::kI32) {
      std::copy_n(row_of<int32_t>(x, from), y.dim(1), row_of<int32_t>(y, r));
    } else {
      std::copy_n(row_of<float>(x, from), y.dim(1), row_of<float>(y, r));
    }
  }
}

void RefOps::do_argmax(TensorView tokens, ConstTensorView logits, int64_t limit) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (int64_t r = 0; r < logits.dim(0); ++r) {
    const float* row = row_of<float>(logits, r);
    int32_t best = -1;
    float largest = -kInfinity;
    bool finite = true;
    for (int64_t i = 0; i < limit; ++i) {
      finite = finite && row[i] < kInfinity;  // false for NaN too
      if (row[i] > largest) {
        largest = row[i];
        best = narrow<int32_t>(i);
      }
    }
    tokens.data<int32_t>()[r] = finite ? best : -1;
  }
}

void RefOps::do_shard_argmax(const ShardArgmax& args) {
  const int64_t columns = std::clamp<int64_t>(args.limit - args.first_id, 0, args.logits.dim(1));
  for (int64_t r = 0; r < args.logits.dim(0); ++r) {
    const float* row = row_of<float>(args.logits, r);
    int32_t id = -1;
    float largest = -std::numeric_limits<float>::infinity();
    for (int64_t i = 0; i < columns; ++i) {
      if (!(row[i] < std::numeric_limits<float>::infinity())) {
        largest = std::numeric_limits<float>::quiet_NaN();
        id = -1;
        break;
      }
      if (row[i] > largest) {
        largest = row[i];
        id = narrow<int32_t>(args.first_id + i);
      }
    }
    float* best = row_of<float>(args.best, r);
    best[0] = largest;
    std::memcpy(best + 1, &id, sizeof id);
  }
}

void RefOps::do_merge_argmax(const MergeArgmax& args) {
  for (int64_t r = 0; r < args.best.dim(0); ++r) {
    const float* best = row_of<float>(args.best, r);
    int32_t token = -1;
    float largest = -std::numeric_limits<float>::infinity();
    bool finite = true;
    for (int64_t i = 0; i < args.best.dim(1); i += 2) {
      finite = finite && !std::isnan(best[i]);
      if (best[i] > largest) {
        largest = best[i];
        std::memcpy(&token, best + i + 1, sizeof token);
      }
    }
    args.tokens.data<int32_t>()[r] = finite ? token : -1;
  }
}

void RefOps::do_draw(TensorView tokens,
                     ConstTensorView logits,
                     int64_t limit,
                     ConstTensorView rows) {
  do_argmax(tokens, logits, limit);
  for (int64_t r = 0; r < logits.dim(0); ++r) {
    DrawParams params;
    std::memcpy(static_cast<void*>(&params), row_of<int32_t>(rows, r), sizeof params);
    int32_t& token = tokens.data<int32_t>()[r];
    if (token >= 0 && params.temperature > 0.0F) {
      token = draw_token({row_of<float>(logits, r), usize(limit)}, token, params);
    }
  }
}

void RefOps::do_fill_tokens(TensorView tokens, ConstTensorView last, ConstTensorView rows) {
  for (int64_t t = 0; t < tokens.dim(0); ++t) {
    int32_t& token = tokens.data<int32_t>()[t];
    token = token < 0 ? last.data<int32_t>()[rows.data<int32_t>()[t]] : token;
  }
}

void RefOps::do_scatter(TensorView y, ConstTensorView values, ConstTensorView at) {
  for (int64_t i = 0; i < at.dim(0); ++i) {
    const int32_t place = at.data<int32_t>()[i];
    if (place >= 0) {
      y.data<int32_t>()[place] = values.data<int32_t>()[i];
    }
  }
}

}  // namespace tutti
