// What `tutti bench scaling` found, put into words and pictures. Measures nothing.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace tutti {

/// Of one decode step.
struct StepShares {
  double total = 0;          ///< seconds
  double compute = 0;        ///< operations of a rank
  double communication = 0;  ///< sums among ranks
  double host = 0;           ///< what is left: launches, waits, scheduling
};

/// A step of `total` seconds whose operations take `compute` alone and sums `communication`. Where
/// they overlap, both shrink so that nothing is counted twice.
StepShares split_step(double total, double compute, double communication);

struct ScalingRun {
  std::vector<int64_t> gpus;  ///< CUDA's indices; empty on the CPU
  int ranks = 1;
  double prefill_tokens_per_second = 0;
  double decode_tokens_per_second = 0;
  StepShares step;
  std::vector<double> gpu_busy;  ///< of each GPU, 0 to 1; empty: not measured
  std::string failure;           ///< why there are no figures; empty: there are

  bool ran() const { return failure.empty(); }
};

/// What ranks run on decides what may be expected of more of them.
enum class Hardware { kGpus, kOneGpu, kCpu };

struct ScalingNote {
  std::string code;
  std::string text;
};

struct Scaling {
  std::string model;
  Hardware hardware = Hardware::kGpus;
  int64_t cpus = 1;  ///< that ranks on the CPU share
  int64_t batch = 1;
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  std::vector<ScalingRun> runs;                     ///< by ranks
  std::optional<double> promised_bytes_per_second;  ///< between GPUs, one way; empty: not known
  std::optional<double> measured_bytes_per_second;
};

/// Over the run with the fewest ranks that has figures, per rank of it: 1 is what its ranks do.
double speedup(const Scaling& scaling, const ScalingRun& run);
/// Speed-up per rank.
double efficiency(const Scaling& scaling, const ScalingRun& run);

/// What was lost where, and what may be done.
std::vector<ScalingNote> explain(const Scaling& scaling);

/// {"schema": 1, "model", "runs", "links", "notes"}; docs/scaling.md.
Json scaling_json(const Scaling& scaling);

/// Bars and notes, at most 80 columns but for notes.
std::string scaling_text(const Scaling& scaling);

/// The same as a picture: what was reached beside what perfect scaling would be.
std::string scaling_svg(const Scaling& scaling);

}  // namespace tutti
