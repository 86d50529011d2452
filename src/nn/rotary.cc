#include "nn/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tutti {

namespace {

double yarn_mscale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

// Llama 3.1: long wavelengths are divided by the factor, short ones kept, those between blended.
double llama3_frequency(const RopeConfig& c, double inv_freq) {
  const double original = static_cast<double>(c.original_max_position);
  const double wavelength = 2.0 * std::numbers::pi / inv_freq;
  if (wavelength < original / c.high_freq_factor) {
    return inv_freq;
  }
  if (wavelength > original / c.low_freq_factor) {
    return inv_freq / c.factor;
  }
  const double smooth =
      (original / wavelength - c.low_freq_factor) / (c.high_freq_factor - c.low_freq_factor);
  return (1.0 - smooth) * inv_freq / c.factor + smooth * inv_freq;
}

// YaRN section 3.2: dimensions that turn less than beta_slow times over the original context are
// interpolated, those that turn more than beta_fast times are kept.
class YarnRamp {
 public:
  YarnRamp(const RopeConfig& c, int64_t dim) {
    const auto correction = [&](double rotations) {
      return static_cast<double>(dim) *
             std::log(static_cast<double>(c.original_max_position) /
                      (rotations * 2.0 * std::numbers::pi)) /
             (2.0 * std::log(c.theta));
    };
    low_ = correction(c.beta_fast);
    high_ = correction(c.beta_slow);
    if (c.truncate) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, static_cast<double>(dim - 1));
    if (low_ == high_) {
      high_ += 0.001;  // as the reference does, to avoid a division by zero
    }
  }

  double at(double i) const { return std::clamp((i - low_) / (high_ - low_), 0.0, 1.0); }

 private:
  double low_;
  double high_;
};

}  // namespace

std::vector<float> rope_inv_freq(const RopeConfig& config, int64_t dim, bool beyond) {
  std::vector<float> out;
  const YarnRamp ramp(config, dim);
  for (int64_t i = 0; i < dim / 2; ++i) {
    const double base =
        std::pow(config.theta, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
    double value = base;
    if (config.type == "linear") {
      value = base / config.factor;
    } else if (config.type == "llama3") {
      value = llama3_frequency(config, base);
    } else if (config.type == "yarn") {
      const double t = ramp.at(static_cast<double>(i));
      value = base * (1.0 - t) + base / config.factor * t;
    } else if (config.type == "longrope") {
      value = base / (beyond ? config.long_factor : config.short_factor)[usize(i)];
    }
    out.push_back(static_cast<float>(value));
  }
  return out;
}

int64_t long_rope_from(const RopeConfig& config) {
  return config.type == "longrope" ? config.original_max_position : 0;
}

double rope_multiplier(const RopeConfig& config) {
  if (config.type == "longrope") {
    if (config.attention_factor) {
      return *config.attention_factor;
    }
    return config.factor <= 1.0
               ? 1.0
               : std::sqrt(1.0 + std::log(config.factor) /
                                     std::log(static_cast<double>(config.original_max_position)));
  }
  if (config.type != "yarn") {
    return 1.0;
  }
  double multiplier = 0.0;
  if (config.attention_factor) {
    multiplier = *config.attention_factor;
  } else if (config.mscale != 0.0 && config.mscale_all_dim != 0.0) {
    multiplier = yarn_mscale(config.factor, config.mscale) /
                 yarn_mscale(config.factor, config.mscale_all_dim);
  } else {
    multiplier = yarn_mscale(config.factor, 1.0);
  }
  return multiplier * config.attn_factor;
}

double yarn_softmax_mscale(const RopeConfig& config) {
  return config.type == "default" || config.mscale_all_dim == 0.0
             ? 1.0
             : yarn_mscale(config.factor, config.mscale_all_dim);
}

RotaryEmbedding::RotaryEmbedding(const Scope& scope, const RopeConfig& config, int64_t dim)
    : inv_freq_(scope.registry().constant(scope.name("inv_freq"), rope_inv_freq(config, dim))),
      dim_(dim),
      multiplier_(static_cast<float>(rope_multiplier(config))) {
  if (long_rope_from(config) > 0) {
    long_inv_freq_ =
        scope.registry().constant(scope.name("long_inv_freq"), rope_inv_freq(config, dim, true));
  }
}

TensorView RotaryEmbedding::table(const ComputeContext& ctx,
                                  ConstTensorView positions,
                                  ConstTensorView rope_rows) const {
  const int64_t t = positions.dim(0);
  const TensorView table = ctx.alloc_f32({t, dim_});
  if (long_inv_freq_ == nullptr) {
    ctx.ops.rope_table(table, positions, inv_freq_->tensor(), multiplier_);
    return table;
  }
  // Once per step and small: both tables, then of each token the row it wants.
  const Arena::Scope scratch(ctx.arena);
  const TensorView both = ctx.alloc_f32({2 * t, dim_});
  ctx.ops.rope_table(both.slice(0, 0, t), positions, inv_freq_->tensor(), multiplier_);
  ctx.ops.rope_table(both.slice(0, t, t), positions, long_inv_freq_->tensor(), multiplier_);
  ctx.ops.gather_rows(table, both, rope_rows);
  return table;
}

}  // namespace tutti
