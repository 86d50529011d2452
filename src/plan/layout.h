// One way of spreading a model over GPUs, and what comes of it: bytes, context, speed.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "plan/plan.h"

namespace tutti {

/// Bytes of recorded steps on one GPU; see docs/planning.md.
int64_t graph_bytes(int64_t layers, int64_t max_batch_sequences);
/// Memory of the host while `ranks` ranks load, and of the program.
int64_t loading_host_bytes(int ranks, int64_t cpus, int64_t largest_temporary);

/// What planning knows of a model, with the needs of every degree that was asked for.
class ModelNeeds {
 public:
  static Result<ModelNeeds> create(const ModelFacts& model, const PlanRequest& request);

  const ModelFacts& model() const { return *model_; }

  const ModelShape& shape() const { return shape_; }

  /// Up to 16, rising.
  const std::vector<int>& degrees() const { return degrees_; }

  /// A legal degree.
  Result<const SplitNeed*> split(int tp);

 private:
  explicit ModelNeeds(const ModelFacts& model) : model_(&model) {}

  const ModelFacts* model_;
  ModelShape shape_;
  StepSizes sizes_;
  DType compute_ = DType::kBF16;
  std::vector<int> degrees_;
  std::map<int, SplitNeed> splits_;
};

/// A model spread so over these GPUs.
struct Layout {
  Parallel parallel;
  std::vector<size_t> gpus;      ///< of one host, one a rank
  std::vector<GpuShare> shares;  ///< beside gpus
  bool loads = false;            ///< weights and all else fit, with room for some tokens
  int64_t short_by = 0;          ///< bytes that the worst GPU lacks
  size_t worst = 0;              ///< which of gpus
  int64_t kv_token_bytes = 0;    ///< on the GPU with most of them
  int64_t kv_tokens = 0;         ///< of the whole plan
  int64_t context = 0;           ///< tokens of one sequence
  int64_t sequences = 0;         ///< of typical length that fit at once
  int64_t host_bytes = 0;
  std::vector<std::string> unexpected;  ///< SplitNeed::unexpected
  bool host_short = false;              ///< the host has less
  bool meets = false;                   ///< the asked context and concurrency
  double figure = 0;                    ///< what the goal wants more of
  Prediction predicted;
};

/// Tokens that a running sequence is taken to have, where nobody says otherwise.
inline constexpr int64_t kTypicalContext = 2048;

/// `gpus`: positions in machine.gpus, as many as the form has ranks on one host.
Result<Layout> lay_out(ModelNeeds& needs,
                       const Machine& machine,
                       const PlanRequest& request,
                       const Parallel& parallel,
                       const std::vector<size_t>& gpus);

}  // namespace tutti
