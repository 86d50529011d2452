#include "plan/speed.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace tutti {

namespace {

constexpr double kMostCostlyRows = 256;  // measured up to here; prompts do not go on like that
// Large products reach this share of the matrix rate.
constexpr double kProductShare = 0.95;

// Routed experts: the share of the read rate that their products reach, by tokens of a step (both
// products of Qwen3-30B-A3B in bf16 on one H200, bench/results/2026-11-30-experts.md).
constexpr std::array<std::pair<double, double>, 6> kGroupedShare{
    {{1, 0.63}, {4, 0.78}, {16, 0.925}, {64, 0.945}, {256, 0.925}, {1024, 0.73}}};

double grouped_share(double rows) {
  if (rows <= kGroupedShare.front().first) {
    return kGroupedShare.front().second;
  }
  for (size_t i = 1; i < kGroupedShare.size(); ++i) {
    const auto [from, low] = kGroupedShare[i - 1];
    const auto [to, high] = kGroupedShare[i];
    if (rows <= to) {
      const double part = std::log(rows / from) / std::log(to / from);
      return low + (high - low) * part;
    }
  }
  return kGroupedShare.back().second;
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
    seconds +=
        read(static_cast<double>(work.weights.experts) * met) / grouped_share(work.expert_rows);
  }
  const double flops = 2.0 * work.elements * work.rows /
                       (kProductShare * (work.fp8 ? rates.fp8_flops : rates.bf16_flops));
  seconds = std::max(seconds, flops);
  seconds += read(work.sequences * work.context * work.kv_token_bytes);
  seconds += static_cast<double>(work.layers) *
             (rates.layer_seconds +
              rates.layer_row_seconds * std::min(work.rows, kMostCostlyRows) / work.ranks);
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
