#include "ops/ref/ref_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
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

double squares_of(const float* x, int64_t d) {
  double squares = 0;
  for (int64_t i = 0; i < d; ++i) {
    squares += static_cast<double>(x[i]) * x[i];
  }
  return squares;
}

void norm_row(float* y, const float* x, const float* weight, int64_t d, float eps) {
  const double scale = 1.0 / std::sqrt(squares_of(x, d) / static_cast<double>(d) + eps);
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

void RefOps::run(const op::Embedding& args) {
  const int64_t d = args.y.dim(1);
  for (int64_t t = 0; t < args.y.dim(0); ++t) {
    float* row = row_of<float>(args.y, t);
    const int64_t id = args.ids.data<int32_t>()[t] - args.first_id;
    if (id < 0 || id >= args.table.dim(0)) {
      std::fill_n(row, d, 0.0F);
    } else if (args.table.dtype() == DType::kF32) {
      copy_as_f32(row, row_of<float>(args.table, id), d);
    } else if (args.table.dtype() == DType::kF16) {
      copy_as_f32(row, row_of<F16>(args.table, id), d);
    } else {
      copy_as_f32(row, row_of<BF16>(args.table, id), d);
    }
  }
}

void RefOps::run(const op::RmsNorm& args) {
  const TensorView y3 = as_rank3(args.y);
  const ConstTensorView x3 = as_rank3(args.x);
  for (int64_t t = 0; t < x3.dim(0); ++t) {
    for (int64_t h = 0; h < x3.dim(1); ++h) {
      norm_row(row_of<float>(y3, t, h),
               row_of<float>(x3, t, h),
               args.weight.data<float>(),
               x3.dim(2),
               args.eps);
    }
  }
}

void RefOps::run(const op::AddRmsNorm& args) {
  add(args.residual, args.x);
  rms_norm(args.y, args.residual, args.weight, args.eps);
}

void RefOps::run(const op::LayerNorm& args) {
  const int64_t d = args.x.dim(1);
  for (int64_t t = 0; t < args.x.dim(0); ++t) {
    const float* x = row_of<float>(args.x, t);
    const double mean = std::accumulate(x, x + d, 0.0) / static_cast<double>(d);
    double squares = 0;
    for (int64_t i = 0; i < d; ++i) {
      squares += (x[i] - mean) * (x[i] - mean);
    }
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(d) + args.eps);
    for (int64_t i = 0; i < d; ++i) {
      const double bias = args.bias.defined() ? args.bias.data<float>()[i] : 0.0F;
      row_of<float>(args.y, t)[i] =
          static_cast<float>((x[i] - mean) * scale * args.weight.data<float>()[i] + bias);
    }
  }
}

void RefOps::run(const op::SumSquares& args) {
  for (int64_t t = 0; t < args.y.dim(0); ++t) {
    float* sums = row_of<float>(args.y, t);
    sums[0] = static_cast<float>(squares_of(row_of<float>(args.x, t), args.x.dim(1)));
    sums[1] = args.also.defined()
                  ? static_cast<float>(squares_of(row_of<float>(args.also, t), args.also.dim(1)))
                  : 0.0F;
  }
}

void RefOps::run(const op::NormPart& args) {
  for (int64_t t = 0; t < args.y.dim(0); ++t) {
    const double squares = *row_of<float>(args.squares, t);
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(args.width) + args.eps);
    const float* x = row_of<float>(args.x, t);
    for (int64_t i = 0; i < args.y.dim(1); ++i) {
      row_of<float>(args.y, t)[i] = static_cast<float>(x[i] * scale * args.weight.data<float>()[i]);
    }
  }
}

void RefOps::run(const op::Add& args) {
  for (int64_t t = 0; t < args.y.dim(0); ++t) {
    for (int64_t i = 0; i < args.y.dim(1); ++i) {
      row_of<float>(args.y, t)[i] += row_of<float>(args.x, t)[i];
    }
  }
}

void RefOps::run(const op::SiluMul& args) {
  for (int64_t t = 0; t < args.y.dim(0); ++t) {
    for (int64_t i = 0; i < args.y.dim(1); ++i) {
      const double z = row_of<float>(args.gate, t)[i];
      const double u = row_of<float>(args.up, t)[i];
      row_of<float>(args.y, t)[i] = static_cast<float>(z / (1.0 + std::exp(-z)) * u);
    }
  }
}

void RefOps::run(const op::GeluMul& args) {
  for (int64_t t = 0; t < args.y.dim(0); ++t) {
    for (int64_t i = 0; i < args.y.dim(1); ++i) {
      const double z = row_of<float>(args.gate, t)[i];
      const double inner = std::sqrt(2.0 / std::numbers::pi) * (z + 0.044715 * z * z * z);
      const double gelu = args.tanh ? 0.5 * z * (1.0 + std::tanh(inner))
                                    : 0.5 * z * std::erfc(-z / std::numbers::sqrt2);
      row_of<float>(args.y, t)[i] = static_cast<float>(gelu * row_of<float>(args.up, t)[i]);
    }
  }
}

void RefOps::run(const op::RopeTable& args) {
  const int64_t half = args.inv_freq.dim(0);
  for (int64_t t = 0; t < args.table.dim(0); ++t) {
    float* row = row_of<float>(args.table, t);
    const auto position = static_cast<float>(args.positions.data<int32_t>()[t]);
    for (int64_t i = 0; i < half; ++i) {
      const float angle = position * args.inv_freq.data<float>()[i];  // rounded to f32 on purpose
      row[i] = static_cast<float>(args.scale * std::cos(static_cast<double>(angle)));
      row[half + i] = static_cast<float>(args.scale * std::sin(static_cast<double>(angle)));
    }
  }
}

void RefOps::run(const op::Rope& args) {
  const int64_t half = args.table.dim(1) / 2;
  const bool interleaved = args.layout == RopeLayout::kInterleaved;
  for (int64_t t = 0; t < args.x.dim(0); ++t) {
    const float* cos = row_of<float>(args.table, t);
    const float* sin = cos + half;
    for (int64_t h = 0; h < args.x.dim(1); ++h) {
      float* row = row_of<float>(args.x, t, h);
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

void RefOps::run(const op::WriteKv& args) {
  const int64_t block_size = args.cache.dim(1);
  for (int64_t t = 0; t < args.x.dim(0); ++t) {
    const int64_t place = args.kv_places.data<int32_t>()[t];
    if (place >= 0) {
      std::copy_n(row_of<float>(args.x, t),
                  args.x.dim(1),
                  row_of<float>(args.cache, place / block_size, place % block_size));
    }
  }
}

void RefOps::run(const op::GatherKv& args) {
  const auto* begin = args.key_begin.data<int32_t>();
  for (int64_t s = 0; s < args.batch.context_before.dim(0); ++s) {
    const auto* blocks = row_of<int32_t>(args.batch.block_table, s);
    for (int64_t row = begin[s]; row < begin[s + 1]; ++row) {
      std::copy_n(cached_row(args.cache, blocks, row - begin[s]),
                  args.y.dim(1),
                  row_of<float>(args.y, row));
    }
  }
}

void RefOps::run(const op::GatherRows& args) {
  for (int64_t r = 0; r < args.y.dim(0); ++r) {
    const int64_t from = args.rows.data<int32_t>()[r];
    if (args.y.dtype() == DType::kI32) {
      std::copy_n(row_of<int32_t>(args.x, from), args.y.dim(1), row_of<int32_t>(args.y, r));
    } else {
      std::copy_n(row_of<float>(args.x, from), args.y.dim(1), row_of<float>(args.y, r));
    }
  }
}

void RefOps::run(const op::Argmax& args) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (int64_t r = 0; r < args.logits.dim(0); ++r) {
    const float* row = row_of<float>(args.logits, r);
    int32_t best = -1;
    float largest = -kInfinity;
    bool finite = true;
    for (int64_t i = 0; i < args.limit; ++i) {
      finite = finite && row[i] < kInfinity;  // false for NaN too
      if (row[i] > largest) {
        largest = row[i];
        best = narrow<int32_t>(i);
      }
    }
    args.tokens.data<int32_t>()[r] = finite ? best : -1;
  }
}

void RefOps::run(const op::ShardArgmax& args) {
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

void RefOps::run(const op::MergeArgmax& args) {
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

void RefOps::run(const op::Draw& args) {
  argmax(args.tokens, args.logits, args.limit);
  for (int64_t r = 0; r < args.logits.dim(0); ++r) {
    DrawParams params;
    std::memcpy(static_cast<void*>(&params), row_of<int32_t>(args.rows, r), sizeof params);
    int32_t& token = args.tokens.data<int32_t>()[r];
    if (token >= 0 && params.temperature > 0.0F) {
      token = draw_token({row_of<float>(args.logits, r), usize(args.limit)}, token, params);
    }
  }
}

void RefOps::run(const op::FillTokens& args) {
  for (int64_t t = 0; t < args.tokens.dim(0); ++t) {
    int32_t& token = args.tokens.data<int32_t>()[t];
    token = token < 0 ? args.last.data<int32_t>()[args.rows.data<int32_t>()[t]] : token;
  }
}

void RefOps::run(const op::Scatter& args) {
  for (int64_t i = 0; i < args.at.dim(0); ++i) {
    const int32_t place = args.at.data<int32_t>()[i];
    if (place >= 0) {
      args.y.data<int32_t>()[place] = args.values.data<int32_t>()[i];
    }
  }
}

}  // namespace tutti
