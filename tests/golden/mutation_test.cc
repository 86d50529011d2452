// The golden criteria must notice: for every fixture, each feature it is for is broken in turn, and
// the logits must then miss the criterion by a factor of at least ten. A fixture without an entry
// here fails.
#include <algorithm>
#include <filesystem>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "golden/golden.h"
#include "golden/mutated_ops.h"
#include "unit/loader/checkpoint_files.h"

namespace tutti {
namespace {

using testing::error_over_tolerance;
using testing::fixture_names;
using testing::Golden;
using testing::load_golden;
using testing::Mistake;
using testing::TempDir;

constexpr double kClearly = 10.0;

/// config.json read wrongly: `key` (or `object`.`key`) has this value instead; "" removes it.
struct ConfigEdit {
  const char* object;
  const char* key;
  const char* value;
};

struct Entry {
  std::vector<Mistake> mistakes;
  std::vector<ConfigEdit> edits;
  /// Edits after which other tensors are wanted, so that loading must refuse the checkpoint.
  std::vector<ConfigEdit> refused;
};

// Broken in every fixture; in one that is meant for something else they still must show.
const std::vector<Mistake>& common_mistakes() {
  static const std::vector<Mistake> mistakes{Mistake::kNormsDropped,
                                             Mistake::kNormWeightsOne,
                                             Mistake::kRopePairing,
                                             Mistake::kRopeBase,
                                             Mistake::kSoftmaxScale};
  return mistakes;
}

const ConfigEdit kV4ScalingOff{"", "rope_scaling", "null"};
const ConfigEdit kV5ScalingOff{"rope_parameters", "rope_type", "\"default\""};

const std::map<std::string, Entry>& entries() {
  static const std::map<std::string, Entry> map{
      {"dsv3_base_f32",
       {{Mistake::kInnerEpsOuter,
         Mistake::kRouterNormalize,
         Mistake::kRouterScaleOne,
         Mistake::kRouterBiasIgnored,
         Mistake::kRouterGroupsOff,
         Mistake::kRouterScoring,
         Mistake::kSharedScaled},
        {kV4ScalingOff, {"rope_scaling", "mscale_all_dim", "0"}},
        {{"", "first_k_dense_replace", "2"}, {"", "q_lora_rank", "null"}}}},
      {"dsv3_qnull_f32",
       {{Mistake::kRouterNormalize, Mistake::kRouterBiasIgnored, Mistake::kSharedScaled},
        {},
        {{"", "tie_word_embeddings", "false"}, {"", "n_shared_experts", "1"}}}},
      {"dsv3_yarn_mscale_f32",
       {{Mistake::kRopeMultiplierOne, Mistake::kRouterGroupsOff, Mistake::kRouterNormalize},
        {kV5ScalingOff, {"rope_parameters", "mscale", "1.0"}},
        {}}},
      {"dsv3_bf16",
       {{Mistake::kRouterGroupsOff, Mistake::kRouterBiasIgnored, Mistake::kSharedScaled},
        {kV4ScalingOff},
        {}}},
      {"dsv3_fp8",
       {{Mistake::kScaleBlocksFirst, Mistake::kRouterGroupsOff, Mistake::kSharedScaled},
        {kV4ScalingOff},
        {{"", "quantization_config", "null"}}}},
      {"dsv3_fp8_small_groups",
       {{Mistake::kScaleBlocksFirst, Mistake::kRouterGroupsOff, Mistake::kRouterScaleOne}, {}, {}}},
      {"kimi_int4",
       {{Mistake::kScaleBlocksFirst,
         Mistake::kScaleGroupsWide,
         Mistake::kNibblesSwapped,
         Mistake::kRouterNormalize,
         Mistake::kRouterBiasIgnored,
         Mistake::kSharedScaled},
        {kV4ScalingOff},
        {}}},
      {"dsv3_top1_bias_f32",
       {{Mistake::kBiasIgnored, Mistake::kRouterGroupsOff, Mistake::kRouterNormalize}, {}, {}}},
      {"dsv3_negative_bias_f32",
       {{Mistake::kRouterMaskZero, Mistake::kRouterBiasIgnored, Mistake::kRouterGroupsOff},
        {},
        {}}},
      {"dsv3_defaults_f32",
       {{Mistake::kRouterNormalize, Mistake::kRouterScaleOne, Mistake::kRouterGroupsOff},
        {{"", "rope_interleave", "true"},
         {"", "topk_group", "8"},
         {"", "routed_scaling_factor", "1.0"},
         {"", "rope_theta", "1000"}},
        {}}},
      {"llama_base_f32",
       {{Mistake::kKvHeads},
        {kV4ScalingOff, {"rope_scaling", "original_max_position_embeddings", "512"}},
        {{"", "head_dim", ""}}}},
      {"llama_tied_f32", {{Mistake::kBiasIgnored}, {}, {{"", "tie_word_embeddings", "false"}}}},
      {"llama_yarn_f32",
       {{Mistake::kRopeMultiplierOne, Mistake::kKvHeads},
        {kV5ScalingOff,
         {"rope_parameters", "attention_factor", ""},
         {"rope_parameters", "original_max_position_embeddings", "16"}},
        {}}},
      {"llama_yarn_auto_f32",
       {{Mistake::kRopeMultiplierOne}, {kV4ScalingOff, {"rope_scaling", "factor", "16"}}, {}}},
      {"llama_linear_bf16", {{Mistake::kKvHeads}, {kV4ScalingOff}, {}}},
      {"llama_d64_bf16",
       {{Mistake::kKvHeads},
        {kV5ScalingOff, {"rope_parameters", "original_max_position_embeddings", "512"}},
        {{"", "head_dim", ""}}}},
      {"llama_f16", {{Mistake::kBiasIgnored, Mistake::kKvHeads}, {}, {}}},
      {"llama_dynamic_f32",
       {{}, {{"rope_scaling", "type", "\"linear\""}, {"", "rope_theta", "10000"}}, {}}},
      {"llama_longrope_f32",
       {{Mistake::kRopeMultiplierOne, Mistake::kKvHeads},
        {kV5ScalingOff, {"rope_parameters", "original_max_position_embeddings", "128"}},
        {}}},
      {"llama_longrope_short_f32",
       {{Mistake::kRopeMultiplierOne, Mistake::kKvHeads},
        {kV4ScalingOff,
         {"", "original_max_position_embeddings", "32"},
         {"rope_scaling", "attention_factor", ""}},
        {}}},
      {"minimax_f32",
       {{Mistake::kHeadNormsDropped,
         Mistake::kHeadWeightsOne,
         Mistake::kNormsByHead,
         Mistake::kHeadEpsDefault,
         Mistake::kRouterNormalize,
         Mistake::kRouterScoring,
         Mistake::kKvHeads},
        {{"rope_parameters", "partial_rotary_factor", "1.0"},
         {"", "num_experts_per_tok", "2"},
         {"", "use_qk_norm", "false"}},
        {{"", "use_routing_bias", "true"}}}},
      {"minimax_d128_bf16",
       {{Mistake::kHeadNormsDropped,
         Mistake::kHeadWeightsOne,
         Mistake::kNormsByHead,
         Mistake::kRouterNormalize,
         Mistake::kRouterScoring,
         Mistake::kKvHeads},
        {{"", "rotary_dim", ""}},
        {{"", "head_dim", "64"}}}},
      {"minimax_fp8",
       {{Mistake::kScaleBlocksFirst,
         Mistake::kHeadNormsDropped,
         Mistake::kHeadWeightsOne,
         Mistake::kNormsByHead,
         Mistake::kRouterNormalize,
         Mistake::kRouterBiasIgnored,
         Mistake::kRouterScoring,
         Mistake::kKvHeads},
        // What the reference does up to 5.17: heads turn as a whole.
        {{"", "rotary_dim", ""}, {"", "rotary_dim", "4"}, {"", "use_routing_bias", "false"}},
        {{"", "quantization_config", "null"}}}},
      {"qwen2_tied_f32",
       {{Mistake::kBiasIgnored, Mistake::kKvHeads},
        {{"", "rope_theta", "1000000"}},
        {{"", "tie_word_embeddings", "false"}}}},
      {"qwen2_d64_bf16",
       {{Mistake::kBiasIgnored, Mistake::kKvHeads},
        {{"", "rope_theta", "1000000"}},
        {{"", "tie_word_embeddings", "false"}}}},
      {"qwen2_yarn_bf16",
       {{Mistake::kBiasIgnored, Mistake::kKvHeads, Mistake::kRopeMultiplierOne},
        {kV5ScalingOff,
         {"rope_parameters", "original_max_position_embeddings", "16"},
         {"", "rms_norm_eps", "1e-2"}},
        {}}},
      {"qwen3_base_f32",
       {{Mistake::kHeadNormsDropped,
         Mistake::kHeadWeightsOne,
         Mistake::kHeadEpsDefault,
         Mistake::kKvHeads},
        {{"", "rms_norm_eps", "1e-6"}},
        {{"", "head_dim", ""}}}},
      {"qwen3_d128_bf16",
       {{Mistake::kHeadNormsDropped, Mistake::kHeadWeightsOne, Mistake::kKvHeads},
        {{"", "rope_theta", "1000000"}},
        {{"", "head_dim", "64"}}}},
      {"qwen3_yarn_attn_factor_f32",
       {{Mistake::kHeadNormsDropped,
         Mistake::kHeadWeightsOne,
         Mistake::kBiasIgnored,
         Mistake::kKvHeads},
        {kV4ScalingOff, {"rope_scaling", "attn_factor", ""}},
        {}}},
      {"qwen3_tied_bf16",
       {{Mistake::kHeadNormsDropped, Mistake::kHeadWeightsOne},
        {},
        {{"", "tie_word_embeddings", "false"}}}},
      {"qwen3_fp8",
       {{Mistake::kScaleBlocksFirst,
         Mistake::kHeadNormsDropped,
         Mistake::kHeadWeightsOne,
         Mistake::kKvHeads},
        {},
        {{"", "quantization_config", "null"}}}},
      {"qwen3moe_d128_bf16",
       {{Mistake::kRouterNormalize,
         Mistake::kRouterScoring,
         Mistake::kHeadNormsDropped,
         Mistake::kHeadWeightsOne,
         Mistake::kKvHeads},
        {{"", "norm_topk_prob", ""}, {"", "num_experts_per_tok", "1"}},
        {{"", "mlp_only_layers", "[]"}}}},
      {"qwen3moe_norm_f32",
       {{Mistake::kRouterNormalize,
         Mistake::kRouterScoring,
         Mistake::kHeadNormsDropped,
         Mistake::kHeadWeightsOne,
         Mistake::kKvHeads},
        {{"", "norm_topk_prob", ""}, {"", "num_experts_per_tok", "2"}},
        {}}},
      {"qwen3moe_mixed_f32",
       {{Mistake::kRouterNormalize,
         Mistake::kRouterScoring,
         Mistake::kHeadNormsDropped,
         Mistake::kHeadWeightsOne,
         Mistake::kKvHeads},
        {{"", "norm_topk_prob", "true"}},
        {{"", "mlp_only_layers", "[]"}, {"", "decoder_sparse_step", "1"}}}},
      {"qwen3moe_fp8",
       {{Mistake::kScaleBlocksFirst,
         Mistake::kRouterNormalize,
         Mistake::kHeadNormsDropped,
         Mistake::kHeadWeightsOne,
         Mistake::kKvHeads},
        {},
        {{"", "mlp_only_layers", "[]"}}}},
      {"spark_f32",
       {{Mistake::kBiasIgnored, Mistake::kLayerMeanKept, Mistake::kGeluOther, Mistake::kKvHeads},
        {{"", "hidden_act", "\"silu\""}, {"", "layer_norm_eps", "1e-6"}, {"", "qkv_bias", "false"}},
        // Both epsilons; a key that nobody knows; what no kernel has.
        {{"", "rms_norm_eps", "1e-5"}, {"", "clip_qkv", "8"}, {"", "hidden_act", "\"relu\""}}}},
  };
  return map;
}

Result<double> error_of(const Golden& golden, const std::string& directory, Mistake mistake) {
  const std::unique_ptr<Backend> backend = testing::make_mutated_cpu_backend(mistake);
  TUTTI_TRY(const std::unique_ptr<RankedModelRunner> runner,
            testing::load_model(*backend, directory, 1));
  return error_over_tolerance(golden, testing::run_model(*runner, golden.ids, 0, 64));
}

void set_or_remove(JsonObject& object, const ConfigEdit& edit) {
  JsonObject kept;
  for (const JsonMember& m : object) {
    if (m.key != edit.key) {
      kept.append(m.key, m.value);
    }
  }
  object = std::move(kept);
  if (*edit.value != '\0') {
    object.set(edit.key, parse_json(edit.value).value());
  }
}

std::string text_of(const ConfigEdit& edit) {
  return fmt::format("{} {} = {}", edit.object, edit.key, edit.value);
}

// The checkpoint of `golden` with an edited config.json.
void write_edited(const Golden& golden, const ConfigEdit& edit, const TempDir& to) {
  for (const auto& file : std::filesystem::directory_iterator(golden.directory)) {
    const std::string name = file.path().filename().string();
    if (name.find("safetensors") != std::string::npos) {
      std::filesystem::create_symlink(file.path(), to.file(name));
    }
  }
  Json config = parse_json_file(join_path(golden.directory, "config.json")).value();
  JsonObject& top = config.as_object();
  if (*edit.object == '\0') {
    set_or_remove(top, edit);
  } else {
    Json inner = *top.find(edit.object);
    set_or_remove(inner.as_object(), edit);
    top.set(edit.object, std::move(inner));
  }
  to.write("config.json", to_string(config));
}

TEST(MutationTest, EveryFixtureHasAnEntry) {
  std::vector<std::string> named;
  for (const auto& [name, entry] : entries()) {
    named.push_back(name);
    EXPECT_GE(entry.mistakes.size() + entry.edits.size(), 1U) << name;
  }
  EXPECT_EQ(named, fixture_names());
}

class FixtureMutationTest : public ::testing::TestWithParam<std::string> {};

TEST_P(FixtureMutationTest, EveryMistakeShows) {
  const auto it = entries().find(GetParam());
  ASSERT_NE(it, entries().end());
  const Golden golden = load_golden(GetParam());
  EXPECT_LE(error_of(golden, golden.directory, Mistake::kNone).value(), 1.0);
  std::vector<Mistake> mistakes = common_mistakes();
  mistakes.insert(mistakes.end(), it->second.mistakes.begin(), it->second.mistakes.end());
  for (const Mistake mistake : mistakes) {
    const double error = error_of(golden, golden.directory, mistake).value();
    EXPECT_GE(error, kClearly) << testing::mistake_name(mistake);
  }
}

TEST_P(FixtureMutationTest, EveryMisreadKeyShows) {
  const auto it = entries().find(GetParam());
  ASSERT_NE(it, entries().end());
  const Golden golden = load_golden(GetParam());
  for (const ConfigEdit& edit : it->second.edits) {
    const TempDir directory;
    write_edited(golden, edit, directory);
    const Result<double> error = error_of(golden, directory.path(), Mistake::kNone);
    ASSERT_TRUE(error.ok()) << text_of(edit) << ": " << error.status().message();
    EXPECT_GE(*error, kClearly) << text_of(edit);
  }
  for (const ConfigEdit& edit : it->second.refused) {
    const TempDir directory;
    write_edited(golden, edit, directory);
    const Result<double> error = error_of(golden, directory.path(), Mistake::kNone);
    EXPECT_FALSE(error.ok()) << text_of(edit);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         FixtureMutationTest,
                         ::testing::ValuesIn(fixture_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace tutti
