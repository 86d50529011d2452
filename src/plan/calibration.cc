#include "plan/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>

#include <fmt/format.h>

namespace tutti {

namespace {

constexpr const char* kKey = "calibration";
constexpr int kFields = 7;

bool sensible(double value, double least, double most) {
  return std::isfinite(value) && value >= least && value <= most;
}

}  // namespace

std::string calibration_identity(const Gpu& gpu,
                                 const Inventory& inventory,
                                 const std::string& build) {
  return fmt::format("plans for {}; driver {}; {:.0f} W; {}",
                     gpu.name.value_or("unknown GPU"),
                     inventory.driver.version.value_or("unknown"),
                     gpu.power_limit_watts.value_or(0.0),
                     build);
}

std::optional<Calibration> find_calibration(const TuningCache& cache) {
  const std::optional<std::string> kept = cache.find(kKey);
  if (!kept) {
    return std::nullopt;
  }
  Calibration c;
  GpuRates& r = c.rates;
  if (std::sscanf(kept->c_str(),
                  "%lf %lf %lf %lf %lf %d %lf",
                  &r.read,
                  &r.bf16_flops,
                  &r.fp8_flops,
                  &r.layer_seconds,
                  &r.layer_row_seconds,
                  &c.sum_ranks,
                  &c.sum_seconds) != kFields) {
    return std::nullopt;
  }
  r.measured = true;
  const bool good = sensible(r.read, 1e9, 1e15) && sensible(r.bf16_flops, 1e9, 1e18) &&
                    sensible(r.fp8_flops, 1e9, 1e18) && sensible(r.layer_seconds, 0, 1) &&
                    sensible(r.layer_row_seconds, 0, 1) && sensible(c.sum_seconds, 0, 1) &&
                    c.sum_ranks >= 0 && c.sum_ranks <= 8;
  return good ? std::optional(c) : std::nullopt;
}

void keep_calibration(const Calibration& c, TuningCache& cache) {
  const GpuRates& r = c.rates;
  cache.put(kKey,
            fmt::format("{:.6g} {:.6g} {:.6g} {:.6g} {:.6g} {} {:.6g}",
                        r.read,
                        r.bf16_flops,
                        r.fp8_flops,
                        r.layer_seconds,
                        r.layer_row_seconds,
                        c.sum_ranks,
                        c.sum_seconds));
}

void set_layer_costs(const StepPair& s, GpuRates& rates) {
  constexpr double kLeast = 1e-6;
  const double per_row = (s.many - s.one) / ((s.rows - 1) * s.layers);
  rates.layer_row_seconds = std::max(0.0, per_row);
  const double beside = (s.one - s.bytes / rates.read) / s.layers - rates.layer_row_seconds;
  rates.layer_seconds = std::max(kLeast, beside);
}

void apply_calibrations(const Inventory& inventory,
                        const std::string& directory,
                        const std::string& build,
                        Machine& machine) {
  std::map<std::string, std::optional<Calibration>> of_uuid;
  for (const Gpu& gpu : inventory.gpus) {
    const TuningCache cache(directory, calibration_identity(gpu, inventory, build));
    of_uuid[gpu.uuid.value_or("")] = find_calibration(cache);
  }
  for (PlanGpu& gpu : machine.gpus) {
    const auto found = of_uuid.find(gpu.uuid);
    // A part of a divided GPU has a share of what the whole one was measured to deliver: guessed.
    if (found == of_uuid.end() || !found->second) {
      continue;
    }
    gpu.rates = found->second->rates;
    if (found->second->sum_ranks > 1) {
      machine.measured_sum = {.ranks = found->second->sum_ranks,
                              .seconds = found->second->sum_seconds};
    }
  }
}

}  // namespace tutti
