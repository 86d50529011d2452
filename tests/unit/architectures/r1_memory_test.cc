// What the weights of DeepSeek-R1 take, planned from its configuration alone, against arithmetic by
// hand: FP8 blocks stay FP8 blocks on every rank.
#include <gtest/gtest.h>

#include "architectures/registry.h"
#include "loader/weight_loader.h"

namespace tutti {
namespace {

// config.json of deepseek-ai/DeepSeek-R1, without keys that do not matter here.
constexpr const char* kConfig = R"({
  "architectures": ["DeepseekV3ForCausalLM"], "first_k_dense_replace": 3, "hidden_size": 7168,
  "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840,
  "moe_intermediate_size": 2048, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1,
  "norm_topk_prob": true, "num_attention_heads": 128, "num_experts_per_tok": 8,
  "num_hidden_layers": 61, "num_key_value_heads": 128, "num_nextn_predict_layers": 1,
  "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06,
  "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid",
  "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc", "v_head_dim": 128,
  "vocab_size": 129280, "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3",
  "quant_method": "fp8", "weight_block_size": [128, 128]}})";

int64_t fp8(int64_t rows, int64_t cols) {
  return rows * cols + 4 * ((rows + 127) / 128) * ((cols + 127) / 128);
}

int64_t by_hand(int64_t ranks) {
  constexpr int64_t kHidden = 7168;
  const int64_t heads = 128 / ranks;
  const int64_t attention = fp8(1536 + 512 + 64, kHidden) + fp8(heads * 192, 1536) +
                            heads * 256 * 512 * 2 /* kv_b, taken apart, bf16 */ +
                            fp8(kHidden, heads * 128) + (1536 + 512 + 2 * kHidden) * 4;
  const auto mlp = [](int64_t width) { return fp8(2 * width, kHidden) + fp8(kHidden, width); };
  const int64_t experts = 257 * mlp(2048 / ranks) + 256 * kHidden * 2 + 256 * 4;
  return 61 * attention + 3 * mlp(18432 / ranks) + 58 * experts +
         2 * (129280 / ranks) * kHidden * 2 + kHidden * 4 + 32 * 4;
}

TEST(R1Memory, WeightsStayInTheirBlocks) {
  const HfConfig config = HfConfig::parse("config.json", parse_json(kConfig, {}).value()).value();
  for (const int ranks : {1, 8, 16}) {
    for (const int rank : {0, ranks - 1}) {
      ParamRegistry registry;
      const Scope scope(registry, Partition(rank, ranks, config.quant.units()));
      const auto model = make_model(config, scope, {});
      ASSERT_TRUE(model.ok()) << model.status().message();
      const Result<LoadPlan> plan =
          WeightLoader(registry, nullptr, config.quant, {.derived = DType::kBF16}).plan({});
      ASSERT_TRUE(plan.ok()) << plan.status().message();
      EXPECT_EQ(plan->weight_bytes, by_hand(ranks)) << "rank " << rank << " of " << ranks;
      int64_t blocks = 0;
      for (const Param& param : registry.params()) {
        if (param.layout().format == &kE4M3BlockWeights && param.derivation() == nullptr) {
          EXPECT_EQ(param.layout().cells[1], (WeightCell{128, 128})) << param.spec().name;
          ++blocks;
        }
      }
      EXPECT_EQ(blocks, 61 * 3 + 3 * 2 + 58 * 4);
    }
  }
}

// Qwen3-30B-A3B's experts of 768 columns over four ranks: 192 each, a block and a half.
TEST(R1Memory, SharesThatCutBlocksRepeatTheirScales) {
  ParamRegistry registry;
  const QuantConfig quant{.format = &kE4M3BlockWeights};
  const Range take = Partition(1, 4, quant.units()).balanced_weights(768, "width").value();
  EXPECT_EQ(take, (Range{192, 192}));
  const Param* gate_up = registry.add({.name = "gate_up",
                                       .sources = {{"gate", 768, take}, {"up", 768, take}},
                                       .cols = 2048,
                                       .take_cols = {0, 2048}});
  const Param* down = registry.add(
      {.name = "down", .sources = {{"down", 2048, {0, 2048}}}, .cols = 768, .take_cols = take});
  ASSERT_TRUE(WeightLoader(registry, nullptr, quant).plan({}).ok());
  EXPECT_EQ(gate_up->layout().cells[1], (WeightCell{64, 128}));
  EXPECT_EQ(down->layout().cells[1], (WeightCell{128, 64}));
}

}  // namespace
}  // namespace tutti
