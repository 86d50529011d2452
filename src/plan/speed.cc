#include "plan/speed.h"

#include <algorithm>
#include <cmath>

namespace tutti {

namespace {

constexpr double kMostCostlyRows = 256;  // measured up to here; prompts do not go on like that
// Large products reach this share of the matrix rate.
constexpr double kProductShare = 0.95;

// Products of experts reach this share of the read rate once they run (Qwen3-30B-A3B in bf16 at 16
// to 256 sequences, bench/results/2026-11-30-experts.md).
constexpr double kExpertShare = 0.95;

// What layers cost beyond a dense one with ordinary attention, by what is left of measured steps
// when bytes are taken off (bench/results/2026-11-30-deepseek.md): routing, combining and ramps of
// experts; the further products of MLA.
constexpr double kExpertLayerSeconds = 13e-6;
constexpr double kMlaLayerSeconds = 18e-6;
// And with FP8 blocks, for each row beyond the first: products of few rows that read below the
// memory's rate, then activations made e4m3 (DeepSeek-R1 at 8, 16 and 64 sequences).
constexpr double kFp8RowSeconds = 7e-6;
constexpr double kMostFp8Seconds = 105e-6;

double layer_seconds(const StepWork& work, const ModelShape& shape, const GpuRates& rates) {
  double seconds = rates.layer_seconds;
  seconds += shape.experts > 0 ? kExpertLayerSeconds : 0.0;
  seconds += shape.mla ? kMlaLayerSeconds : 0.0;
  if (work.fp8) {
    seconds += std::min(kFp8RowSeconds * (work.rows - 1), kMostFp8Seconds);
  }
  // Half of what a row costs is shared by the ranks.
  const double rows = std::min(work.rows, kMostCostlyRows);
  return seconds + rates.layer_row_seconds * rows * (0.5 + 0.5 / work.ranks);
}

}  // namespace

double compute_seconds(const StepWork& work, const ModelShape& shape, const GpuRates& rates) {
  const auto read = [&rates](double bytes) { return bytes / rates.read; };
  const double dense = static_cast<double>(work.weights.attention + work.weights.other);
  double seconds = read(dense);
  if (work.weights.experts > 0 && shape.experts > 0) {
    // Routing is taken as uniform.
    const double missed =
        1.0 - static_cast<double>(shape.experts_per_token) / static_cast<double>(shape.experts);
    const double met = 1.0 - std::pow(missed, work.expert_rows);
    seconds += read(static_cast<double>(work.weights.experts) * met) / kExpertShare;
  }
  const double flops = 2.0 * work.elements * work.rows /
                       (kProductShare * (work.fp8 ? rates.fp8_flops : rates.bf16_flops));
  seconds = std::max(seconds, flops);
  seconds += read(work.sequences * work.context * work.kv_token_bytes);
  seconds += static_cast<double>(work.layers) * layer_seconds(work, shape, rates);
  return seconds;
}

double reduce_seconds(const ModelShape& shape, int ranks, double rows, const LinkRates& rates) {
  if (ranks == 1) {
    return 0;
  }
  const double bytes = rows * static_cast<double>(shape.hidden) * 2.0;
  const double moved = 2.0 * (ranks - 1) / ranks * bytes;
  // Two sums a layer, one of the embedding, one exchange of candidates for the next token.
  return static_cast<double>(2 * shape.layers + 2) *
         (rates.first + rates.per_rank * ranks + moved / rates.bytes_per_second);
}

double gather_seconds(const ModelShape& shape,
                      const Parallel& form,
                      double rows,
                      const LinkRates& rates) {
  const double heads = static_cast<double>(shape.heads) / form.tp * form.dcp;
  const double bytes = rows * heads * static_cast<double>(shape.key_width) * 2.0;
  const double moved = bytes * (form.dcp - 1) / form.dcp;
  return static_cast<double>(2 * shape.layers) *
         (rates.first + rates.per_rank * form.dcp + moved / rates.bytes_per_second);
}

double exchange_seconds(const ModelShape& shape, int ranks, double rows, const LinkRates& rates) {
  if (ranks == 1) {
    return 0;
  }
  // Each token goes to at most experts_per_token ranks and comes back in bf16.
  const double copies = std::min<double>(static_cast<double>(shape.experts_per_token), ranks);
  const double bytes = rows / ranks * copies * static_cast<double>(shape.hidden) * 2.0;
  return static_cast<double>(2 * shape.layers) *
         (rates.first + rates.per_rank * ranks + bytes / rates.bytes_per_second);
}

}  // namespace tutti
