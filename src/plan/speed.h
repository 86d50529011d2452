// How long a step takes, predicted: a roofline over measured rates. The constants come from
// bench/results; docs/planning.md has the formulas and how far off they are.
#pragma once
#include "plan/machine.h"
#include "plan/rank_need.h"

namespace tutti {

struct StepTime {
  double compute = 0;        ///< seconds
  double communication = 0;  ///< seconds
  double host = 0;           ///< seconds in which devices wait for the host

  double total() const { return compute + communication + host; }
};

/// One rank's part of a step.
struct StepWork {
  PartBytes weights;
  int64_t layers = 0;
  int ranks = 1;         ///< that share each row's work
  double rows = 1;       ///< tokens whose matrices this rank multiplies
  double sequences = 1;  ///< whose keys this rank reads
  double context = 0;    ///< tokens cached of each
  double kv_token_bytes = 0;
  double elements = 0;     ///< of weights that each row meets on this rank
  double expert_rows = 1;  ///< tokens over all ranks that share the experts
  bool fp8 = false;
};

double compute_seconds(const StepWork& work, const ModelShape& shape, const GpuRates& rates);

/// All sums over `ranks` ranks of one step with `rows` tokens.
double reduce_seconds(const ModelShape& shape, int ranks, double rows, const LinkRates& rates);

/// Attention data-parallel, experts spread over the ranks: tokens to their experts and back.
double exchange_seconds(const ModelShape& shape, int ranks, double rows, const LinkRates& rates);

/// How a model is spread: ranks = tp x pp x dp x replicas.
struct Parallel {
  int tp = 1;
  int pp = 1;        ///< stages of layers, one behind the other
  int dp = 1;        ///< groups that attend to sequences of their own
  int ep = 1;        ///< ranks that share the experts out whole
  int dcp = 1;       ///< ranks that share a sequence's cache out
  int replicas = 1;  ///< whole copies
};

/// Decode context parallel: queries to all ranks that hold a part of a cache, sums of values back.
double gather_seconds(const ModelShape& shape,
                      const Parallel& form,
                      double rows,
                      const LinkRates& rates);

}  // namespace tutti
