// What plans know of a GPU from a measurement on this very machine (tutti calibrate), kept under
// GPU, driver, power limit and build: after a change of any of them it is measured again.
#pragma once
#include <optional>
#include <string>

#include "base/tuning_cache.h"
#include "inventory/inventory.h"
#include "plan/machine.h"

namespace tutti {

/// Of one kind of GPU.
struct Calibration {
  GpuRates rates;          ///< `measured`
  int sum_ranks = 0;       ///< ranks between which a sum was measured; 0: none was
  double sum_seconds = 0;  ///< of one sum of a decode step among them
};

/// Under what a measurement of `gpu` is kept.
std::string calibration_identity(const Gpu& gpu,
                                 const Inventory& inventory,
                                 const std::string& build);

/// Nothing if the cache holds none, or one that makes no sense.
std::optional<Calibration> find_calibration(const TuningCache& cache);

void keep_calibration(const Calibration& calibration, TuningCache& cache);

/// What two decode steps of a dense model say of a layer beside its bytes (docs/planning.md): steps
/// of 1 and of `rows` sequences, in seconds.
struct StepPair {
  double one = 0;
  double many = 0;
  double rows = 0;
  double layers = 0;
  double bytes = 0;  ///< read by a step of one sequence
};

/// Sets the costs of a layer from what is left once the bytes have been read at `rates.read`; never
/// below a microsecond, since a launch costs that.
void set_layer_costs(const StepPair& steps, GpuRates& rates);

/// Gives the GPUs of `machine`, made from `inventory`, what was measured of their kind.
/// directory: where measurements are kept.
void apply_calibrations(const Inventory& inventory,
                        const std::string& directory,
                        const std::string& build,
                        Machine& machine);

}  // namespace tutti
