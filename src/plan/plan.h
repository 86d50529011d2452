// What a plan says: which GPUs a model takes, how it is split, what fits, and how fast it will be.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plan/cuda_memory.h"
#include "plan/speed.h"

namespace tutti {

enum class Goal { kLatency, kThroughput, kBalanced };

/// "latency", "throughput" or "balanced".
Result<Goal> parse_goal(const std::string& text);
const char* goal_name(Goal goal);

enum class Verdict {
  kFits,
  kFitsReduced,  ///< with a shorter context or fewer sequences than were asked for
  kRefused,
};

struct PlanRequest {
  Goal goal = Goal::kBalanced;
  int64_t context = 0;      ///< tokens; 0: the model's
  int64_t concurrency = 0;  ///< sequences at once; 0: whatever fits
  int64_t max_batch_tokens = 512;
  int64_t max_batch_sequences = 64;
  DType compute = DType::kBF16;  ///< of activations and cache, on GPUs
  /// What CUDA is taken to need for itself; 0: the GPUs are asked once more before loading.
  int64_t cuda_context_bytes = kCudaContextBytes;
  int64_t kv_memory = 0;       ///< bytes of the KV cache on each GPU; 0: chosen
  bool runnable_only = false;  ///< only what this build can start
  bool quick = false;          ///< no alternatives are looked for
  bool all_gpus = false;       ///< every usable GPU, whether it helps or not
  int tp = 0;                  ///< exactly so many ranks; 0: chosen
  std::string typed_hardware;  ///< --hardware, for commands that are suggested
};

/// One GPU of a plan, in bytes.
struct GpuShare {
  bool used = false;
  std::string reason;  ///< why it is used, or why not
  int64_t weights = 0;
  int64_t kv = 0;
  int64_t activations = 0;
  int64_t graphs = 0;
  int64_t context = 0;  ///< CUDA's own, workspaces, mailboxes of collectives
  int64_t spare = 0;    ///< free_bytes less all these
  /// What layers that propose drafts (MTP, arXiv:2412.19437 section 2.2) would add to the weights;
  /// this build does not load them. 0: the model has none, or it is not known.
  int64_t draft_weights = 0;
};

struct PlanReason {
  std::string code;
  std::string text;
};

struct PlanAlternative {
  std::string code;
  std::string text;
  std::string command;
};

struct Prediction {
  bool measured = false;  ///< on this GPU model; else from its data sheet
  int64_t batch = 1;
  double decode_tokens_per_second = 0;
  double prefill_tokens_per_second = 0;
  StepTime step;
};

struct Plan {
  Verdict verdict = Verdict::kRefused;
  bool runnable = false;
  Goal goal = Goal::kBalanced;
  Parallel parallel;
  Machine machine;
  std::vector<size_t> placement;  ///< GPU of each rank of one host, by its position in machine.gpus
  std::vector<GpuShare> gpus;     ///< beside machine.gpus
  int64_t context_tokens = 0;
  int64_t kv_tokens = 0;      ///< of the whole plan
  int64_t max_sequences = 0;  ///< of context_tokens each, at the same time
  int64_t host_bytes = 0;
  int64_t short_by_bytes = 0;  ///< per GPU; 0: nothing is short
  std::optional<Prediction> predicted;
  std::vector<PlanReason> reasons;
  std::vector<PlanAlternative> alternatives;
  std::string command;
  std::string docker_command;
};

}  // namespace tutti
