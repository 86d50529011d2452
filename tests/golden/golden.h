// A golden fixture, loaded and run: what the tests of this directory share. README.md explains the
// files and the criteria.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/ranks/ranked_model_runner.h"
#include "golden/npy.h"

namespace tutti::testing {

/// How far transformers' own bf16 run is from its f32 run.
struct Bf16Error {
  double nmse = 0;      ///< over all logits of the prompt
  double row_nmse = 0;  ///< the median of the prompt's rows
  double gap = 0;       ///< largest difference of a logit, over prompt and continuation
};

struct Golden {
  std::string directory;
  std::string weights;  ///< f32, bf16, f16, fp8 or int4
  std::vector<int32_t> ids;
  std::vector<int32_t> greedy;
  std::vector<double> greedy_gap;
  std::vector<int64_t> legal_ranks;
  Bf16Error bf16;
  /// No run in bf16 chooses other experts: there are none, or their scores are far enough apart.
  bool steady_experts = true;
  NpyMatrix logits;
};

/// In the source tree the test was built in, or $TUTTI_FIXTURES: tests of GPUs are often built
/// elsewhere than they run.
std::string fixtures_directory();
/// Sorted.
std::vector<std::string> fixture_names();
Golden load_golden(const std::string& name);

/// The checkpoint in `directory`, with limits that every fixture fits. `record_steps`: see
/// ModelLoadOptions.
Result<std::unique_ptr<RankedModelRunner>> load_model(Backend& backend,
                                                      const std::string& directory,
                                                      int ranks,
                                                      const ModelOptions& model = {},
                                                      std::optional<DType> compute = {},
                                                      bool record_steps = true);

/// Runs `ids` from position `begin` in steps of `chunk`; the logits of every token.
std::vector<float> run_model(RankedModelRunner& runner,
                             const std::vector<int32_t>& ids,
                             int64_t begin,
                             int64_t chunk);

/// The criterion of the fixture's weights as a ratio: passed if at most 1. Infinite if a logit is
/// not finite.
double error_over_tolerance(const Golden& golden, const std::vector<float>& got);

}  // namespace tutti::testing
