// One run of `tutti bench scaling`, measured in this process.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "apps/options.h"
#include "apps/scaling_report.h"
#include "base/status.h"

namespace tutti {

struct ScalingFigures {
  ScalingRun run;
  std::optional<double> link_rate;  ///< bytes per second that a large sum moves for each rank
};

/// Errors: those of loading. What CUDA is set to when it starts depends on how many ranks share a
/// GPU, so that each number of ranks wants a process of its own.
Result<ScalingFigures> measure_scaling(const BenchScalingOptions& options,
                                       Hardware hardware,
                                       int ranks);

/// As such a process tells them: one line of JSON.
std::string figures_line(const ScalingFigures& figures);
Result<ScalingFigures> parse_figures(std::string_view line);

}  // namespace tutti
