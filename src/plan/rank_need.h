// What the ranks of a model need when it is split over a number of them, from the declarations and
// the dry run that loading uses.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/ranks/step_plan.h"
#include "plan/model_facts.h"

namespace tutti {

/// Bytes of one rank's weights by what they are for.
struct PartBytes {
  int64_t attention = 0;  ///< matrices of attention
  int64_t experts = 0;    ///< routed experts
  int64_t table = 0;      ///< the input embedding, of which a step reads rows only
  int64_t other = 0;      ///< all else: MLPs, shared experts, routers, norms, the head

  int64_t total() const { return attention + experts + table + other; }

  PartBytes& operator+=(const PartBytes& more);
};

struct RankNeed {
  PartBytes weights;
  std::vector<PartBytes> layers;  ///< of weights, layer by layer; the rest is in no layer
  int64_t kv_token_bytes = 0;     ///< of the KV cache for a token, all layers
  int64_t activations = 0;
  int64_t host_bytes = 0;  ///< largest temporary on the host while loading
};

/// A model over `tp` ranks.
struct SplitNeed {
  int tp = 1;
  std::vector<std::string> unexpected;  ///< tensors of the headers that nothing declares
  std::vector<RankNeed> ranks;
};

/// Sizes of steps; what `tutti serve` takes if nothing is typed.
struct StepSizes {
  int64_t max_tokens = 512;
  int64_t max_sequences = 64;
  int64_t context = 0;  ///< 0: the model's
};

/// kInvalidArgument says why it cannot be split so, or which tensors are missing.
Result<SplitNeed> split_need(const ModelFacts& model,
                             int tp,
                             const StepSizes& sizes,
                             DType compute);

/// Dimensions that plans reason with.
struct ModelShape {
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;   ///< MLA: 1
  int64_t key_width = 0;  ///< elements of a cached key
  int64_t experts = 0;    ///< 0: dense
  int64_t experts_per_token = 0;
  bool mla = false;  ///< every rank of a group keeps the whole cache
  int64_t max_context = 0;
  int64_t draft_layers = 0;     ///< further ones that propose drafts; this build does not run them
  int64_t parameters = 0;       ///< of the checkpoint, without parts that are not run
  int64_t dense_elements = 0;   ///< matrices that every token meets
  int64_t expert_elements = 0;  ///< all experts
};

Result<ModelShape> model_shape(const ModelFacts& model);

/// Numbers of ranks up to `most` that the model can be split over, rising.
std::vector<int> legal_degrees(const ModelFacts& model, int most);

}  // namespace tutti
