#include "plan/rank_need.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/checked.h"
#include "engine/ranks/adjusted_rows.h"
#include "engine/ranks/rank_worker.h"

namespace tutti {

namespace {

constexpr int64_t kBlockSize = 16;
// As `tutti serve` asks for, see load_options() in src/apps/common.cc.
constexpr int64_t kMaxScoreRows = 64;

// What no machine holds; beyond it products and sums here would leave 64 bits.
constexpr int64_t kMostElements = int64_t{1} << 48;
constexpr int64_t kMostBytes = int64_t{1} << 56;

// -1: in no layer. "model.layers.12.mlp.gate.weight" -> 12
int64_t layer_of(const std::string& name) {
  constexpr std::string_view kBefore = "model.layers.";
  if (!name.starts_with(kBefore)) {
    return -1;
  }
  int64_t layer = -1;
  std::from_chars(name.data() + kBefore.size(), name.data() + name.size(), layer);
  return layer;
}

PartBytes share_of(const ParamSpec& spec, int64_t bytes, bool tied) {
  PartBytes share;
  if (spec.groups > 0) {
    share.experts = bytes;
  } else if (spec.name.find(".self_attn.") != std::string::npos) {
    share.attention = bytes;
  } else if (spec.name == "model.embed_tokens.weight" && !tied) {
    share.table = bytes;
  } else {
    share.other = bytes;
  }
  return share;
}

bool has_head(const ParamRegistry& params) {
  return std::any_of(params.params().begin(), params.params().end(), [](const Param& p) {
    return p.spec().name == "lm_head.weight";
  });
}

StepShape shape_for(const StepSizes& sizes, const CausalLmInfo& info) {
  const int64_t sequences = std::min(sizes.max_sequences, sizes.max_tokens);
  return {.max_tokens = sizes.max_tokens,
          .max_sequences = sequences,
          .max_logit_rows = sequences + std::min(kMaxScoreRows, sizes.max_tokens),
          .max_context = sizes.context > 0 ? sizes.context : info.max_context,
          .block_size = kBlockSize,
          .max_adjusted = std::min<int64_t>(AdjustedRows::kMaxRows, sequences),
          .vocab_size = info.vocab_size,
          .vocab_limit = info.vocab_size,
          .long_ropes = info.long_rope_from > 0};
}

int64_t config_int(const HfConfig& config, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const Json* value = config.json.find(key);
    if (value != nullptr && value->is_int()) {
      return value->as_int();
    }
  }
  return 0;
}

// What a rank's bytes depend on: how much it takes of each tensor, and where in a block of scales
// that begins. Ranks that are alike need the same; declaring is quick, finding every expert is not.
std::vector<int64_t> cut_of(const ParamRegistry& params, const QuantConfig& quant) {
  std::vector<int64_t> cut;
  for (const Param& param : params.params()) {
    const ParamSpec& spec = param.spec();
    for (const ParamSource& source : spec.sources) {
      cut.insert(cut.end(), {source.take.begin % quant.block.rows, source.take.count});
    }
    cut.insert(
        cut.end(),
        {spec.take_cols.begin % quant.block.cols, spec.take_cols.count, spec.take_groups.count});
  }
  return cut;
}

// Bytes of each parameter on the device.
Result<std::vector<int64_t>> bytes_of(const ModelFacts& model,
                                      RankWorker& worker,
                                      RankNeed& need,
                                      std::vector<std::string>& unexpected) {
  std::vector<int64_t> bytes;
  if (model.counted) {
    int64_t total = 0;
    for (const Param& param : worker.params().params()) {
      if (param.shape().numel() > kMostElements || total > kMostBytes) {
        return error(StatusCode::kOutOfMemory,
                     "{}: {} needs more memory than any machine has",
                     model.config.path,
                     param.spec().name);
      }
      bytes.push_back(bytes_in(model.format, param));
      total += bytes.back();
    }
    return bytes;
  }
  TUTTI_TRY(LoadPlan plan, worker.plan(model.tensors.get(), model.config.quant, model.made_up));
  need.host_bytes = plan.peak_extra_bytes;
  unexpected = std::move(plan.unexpected);
  int64_t total = 0;
  for (const Param& param : worker.params().params()) {
    const bool replaced = param.derivation() != nullptr && !param.derivation()->keep_source;
    bytes.push_back(replaced ? 0 : param.layout().bytes(param.shape()));
    total += bytes.back();
  }
  TUTTI_CHECK_EQ(total, plan.weight_bytes);
  return bytes;
}

}  // namespace

PartBytes& PartBytes::operator+=(const PartBytes& more) {
  attention += more.attention;
  experts += more.experts;
  table += more.table;
  other += more.other;
  return *this;
}

Result<SplitNeed> split_need(const ModelFacts& model,
                             int tp,
                             const StepSizes& sizes,
                             DType compute) {
  SplitNeed need{.tp = tp};
  std::map<std::vector<int64_t>, size_t> alike;  // cut -> rank
  for (int rank = 0; rank < tp; ++rank) {
    TUTTI_TRY(const std::unique_ptr<RankWorker> worker,
              RankWorker::create(model.config, {}, rank, tp, compute));
    const auto [known, fresh] =
        alike.try_emplace(cut_of(worker->params(), model.config.quant), need.ranks.size());
    if (!fresh) {
      need.ranks.push_back(need.ranks[known->second]);
      continue;
    }
    const std::deque<Param>& params = worker->params().params();
    RankNeed one;
    TUTTI_TRY(const std::vector<int64_t> bytes, bytes_of(model, *worker, one, need.unexpected));
    const bool tied = !has_head(worker->params());
    one.layers.resize(worker->info().kv.layers.size());
    for (size_t i = 0; i < bytes.size(); ++i) {
      const PartBytes share = share_of(params[i].spec(), bytes[i], tied);
      one.weights += share;
      const int64_t layer = layer_of(params[i].spec().name);
      if (layer >= 0 && layer < ssize(one.layers.size())) {
        one.layers[usize(layer)] += share;
      }
    }
    one.weights.other += model.extras.bytes + ceil_div(model.extras.split_bytes, tp);
    const StepShape shape = shape_for(sizes, worker->info());
    one.activations = worker->measure_arena(shape) + RankWorker::table_bytes(shape);
    one.kv_token_bytes = worker->info().kv.bytes_per_token() + model.extras.kv_token_bytes;
    need.ranks.push_back(std::move(one));
  }
  return need;
}

Result<ModelShape> model_shape(const ModelFacts& model) {
  TUTTI_TRY(const std::unique_ptr<RankWorker> worker, RankWorker::create(model.config, {}, 0, 1));
  ModelShape shape;
  shape.layers = ssize(worker->info().kv.layers.size());
  shape.max_context = worker->info().max_context;
  shape.hidden = config_int(model.config, {"hidden_size"});
  shape.heads = config_int(model.config, {"num_attention_heads"});
  shape.experts =
      config_int(model.config, {"n_routed_experts", "num_experts", "num_local_experts"});
  shape.experts_per_token = config_int(model.config, {"num_experts_per_tok"});
  shape.draft_layers = config_int(model.config, {"num_nextn_predict_layers"});
  shape.mla =
      !worker->info().kv.layers.empty() && worker->info().kv.layers.front().widths.size() == 1;
  const int64_t head_width =
      worker->info().kv.layers.empty() ? 0 : worker->info().kv.layers.front().widths.front();
  const int64_t kv_heads = config_int(model.config, {"num_key_value_heads", "num_attention_heads"});
  shape.kv_heads = shape.mla ? 1 : kv_heads;
  shape.key_width = head_width / std::max<int64_t>(shape.kv_heads, 1);
  bool stacked = false;
  for (const Param& param : worker->params().params()) {
    const ParamSpec& spec = param.spec();
    int64_t elements = 0;  // of the sources: what is derived has none
    for (const ParamSource& source : spec.sources) {
      elements += source.rows;
    }
    elements *= std::max<int64_t>(spec.cols, 1) * std::max<int64_t>(spec.groups, 1);
    shape.parameters += elements;
    if (spec.groups > 0) {
      stacked = true;
      shape.expert_elements += elements;
    } else if (spec.cols > 0 && spec.name != "model.embed_tokens.weight") {
      shape.dense_elements += elements;
    }
  }
  if (!stacked) {
    shape.experts = 0;
  }
  shape.parameters += model.extras.parameters;
  return shape;
}

std::vector<int> legal_degrees(const ModelFacts& model, int most) {
  return legal_rank_counts(model.config, {}, most);
}

}  // namespace tutti
