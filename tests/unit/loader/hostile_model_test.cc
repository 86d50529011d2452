// Model directories with one thing wrong, loaded as a user would: one clear error each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "engine/ranks/ranked_model_runner.h"
#include "unit/loader/checkpoint_files.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

std::string fixture(const std::string& name) {
  return std::string(TUTTI_SOURCE_DIR) + "/tests/golden/fixtures/" + name;
}

class HostileModelTest : public ::testing::Test {
 protected:
  void copy(const std::string& name) {
    for (const char* file : {"config.json", "model.safetensors"}) {
      std::filesystem::copy_file(join_path(fixture(name), file),
                                 dir_.file(file),
                                 std::filesystem::copy_options::overwrite_existing);
    }
  }

  void set(const std::string& key, const std::string& value) {
    Json config = parse_json_file(dir_.file("config.json")).value();
    config.as_object().set(key, parse_json(value).value());
    dir_.write("config.json", to_string(config));
  }

  void remove(const std::string& key) {
    const Json config = parse_json_file(dir_.file("config.json")).value();
    JsonObject kept;
    for (const JsonMember& m : config.as_object()) {
      if (m.key != key) {
        kept.append(m.key, m.value);
      }
    }
    dir_.write("config.json", to_string(Json(std::move(kept))));
  }

  Status load(int ranks = 1, LoadFormat format = LoadFormat::kCheckpoint) {
    const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 1});
    ModelLoadOptions options;
    options.directory = dir_.path();
    options.ranks = ranks;
    options.context = 32;
    options.kv_memory = 1 << 20;
    options.format = format;
    return RankedModelRunner::load(*backend, options).status();
  }

  TempDir dir_;
};

struct Setting {
  const char* fixture;
  const char* key;
  const char* value;
  StatusCode code;
  const char* message;
};

TEST_F(HostileModelTest, ConfigurationValues) {
  constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
  constexpr StatusCode kUnsupported = StatusCode::kUnsupported;
  constexpr const char* kLlama = "llama_yarn_auto_f32";
  constexpr const char* kDeepseek = "dsv3_base_f32";
  constexpr const char* kQwen2 = "qwen2_tied_f32";
  constexpr const char* kQwen3 = "qwen3_base_f32";
  constexpr const char* kQwen3Moe = "qwen3moe_norm_f32";
  const Setting settings[] = {
      {kLlama,
       "architectures",
       "[\"GPT2LMHeadModel\"]",
       kUnsupported,
       "architecture \"GPT2LMHeadModel\" is not supported; supported are DeepseekV3ForCausalLM, "},
      {kLlama, "hidden_act", "\"gelu\"", kUnsupported, "hidden_act \"gelu\" is not supported"},
      {kLlama, "hidden_size", "\"40\"", kInvalid, "hidden_size: got a string, wanted an integer"},
      {kLlama, "hidden_size", "0", kInvalid, "hidden_size: got 0, wanted 1 to 1048576"},
      {kLlama, "hidden_size", "-40", kInvalid, "hidden_size: got -40"},
      {kLlama, "hidden_size", "1e15", kInvalid, "hidden_size: got 1000000000000000"},
      {kLlama, "hidden_size", "9223372036854775807", kInvalid, "hidden_size: got 92233"},
      {kLlama, "hidden_size", "1048576", kInvalid, "wanted"},
      {kLlama, "hidden_size", "40.5", kInvalid, "hidden_size: got a number with a fraction"},
      {kLlama, "num_hidden_layers", "0", kInvalid, "num_hidden_layers: got 0"},
      {kLlama, "num_hidden_layers", "100000000", kInvalid, "num_hidden_layers: got 100000000"},
      {kLlama, "num_hidden_layers", "4096", kInvalid, "the checkpoint lacks at least 1000"},
      {kLlama, "num_hidden_layers", "3", kInvalid, "model.layers.2."},
      {kLlama, "vocab_size", "-1", kInvalid, "vocab_size: got -1"},
      {kLlama, "vocab_size", "164", kInvalid, "shape [163, 40], wanted [164, 40]"},
      {kLlama, "num_attention_heads", "0", kInvalid, "num_attention_heads: got 0"},
      {kLlama, "num_attention_heads", "7", kInvalid, "wanted [112, 40]"},
      {kLlama, "num_key_value_heads", "3", kInvalid, "num_key_value_heads (3) must divide"},
      {kLlama, "head_dim", "15", kInvalid, "head_dim is 15, wanted an even number"},
      {kLlama, "intermediate_size", "null", kInvalid, "intermediate_size: missing"},
      {kLlama, "rms_norm_eps", "-1", kInvalid, "rms_norm_eps: got -1"},
      {kLlama, "max_position_embeddings", "0", kInvalid, "max_position_embeddings: got 0"},
      {kLlama, "max_position_embeddings", "16", kInvalid, "allows at most 16"},
      {kLlama, "tie_word_embeddings", "1", kInvalid, "tie_word_embeddings: got an integer"},
      {kLlama, "attention_bias", "true", kInvalid, "q_proj.bias"},
      {kLlama, "rope_scaling", "{\"type\":\"su\"}", kUnsupported, "rope_type \"su\""},
      {kLlama,
       "quantization_config",
       "{\"quant_method\":\"gptq\"}",
       kUnsupported,
       "quant_method \"gptq\""},
      {kDeepseek, "n_routed_experts", "1048576", kInvalid, "the checkpoint lacks at least 1000"},
      {kDeepseek, "n_routed_experts", "0", kInvalid, "n_routed_experts: got 0"},
      {kDeepseek,
       "n_routed_experts",
       "9",
       kInvalid,
       "n_group (4) must divide n_routed_experts (9)"},
      {kDeepseek, "num_experts_per_tok", "100", kInvalid, "cannot supply num_experts_per_tok 100"},
      {kDeepseek, "topk_group", "5", kInvalid, "topk_group 5 of n_group 4"},
      {kDeepseek, "n_group", "8", kInvalid, "topk_group 2 of n_group 8 cannot supply"},
      {kDeepseek, "scoring_func", "\"softmax\"", kUnsupported, "scoring_func \"softmax\""},
      {kDeepseek, "topk_method", "\"greedy\"", kUnsupported, "topk_method \"greedy\""},
      {kDeepseek, "qk_rope_head_dim", "7", kInvalid, "qk_rope_head_dim is 7, wanted an even"},
      {kDeepseek, "kv_lora_rank", "0", kInvalid, "kv_lora_rank: got 0"},
      {kDeepseek, "kv_lora_rank", "-16", kInvalid, "kv_lora_rank: got -16"},
      {kDeepseek, "q_lora_rank", "null", kInvalid, "q_proj.weight"},
      {kDeepseek, "n_shared_experts", "2", kInvalid, "shared_experts"},
      {kDeepseek, "first_k_dense_replace", "3", kInvalid, "mlp."},
      {kDeepseek, "v_head_dim", "1e6", kInvalid, "wanted"},
      {kDeepseek, "rope_interleave", "0", kInvalid, "rope_interleave: got an integer"},
      {kDeepseek, "num_local_experts", "16", kInvalid, "lacks"},
      {kDeepseek, "moe_layer_freq", "2", kUnsupported, "moe_layer_freq 2 is not supported"},
      {kQwen2, "num_attention_heads", "0", kInvalid, "num_attention_heads: got 0, wanted 1 to"},
      {kQwen2,
       "num_attention_heads",
       "128",
       kInvalid,
       "num_attention_heads is 128, wanted at most"},
      {kQwen2, "num_key_value_heads", "16", kInvalid, "num_key_value_heads (16) must divide"},
      {kQwen2, "use_sliding_window", "1", kInvalid, "use_sliding_window: got an integer"},
      {kQwen2, "max_window_layers", "-1", kInvalid, "max_window_layers: got -1"},
      {kQwen2,
       "layer_types",
       "[\"full_attention\"]",
       kInvalid,
       "layer_types has 1 entries, wanted"},
      {kQwen2,
       "layer_types",
       "[\"full_attention\",\"sliding_attention\"]",
       kUnsupported,
       "layer_types[1] is \"sliding_attention\""},
      {kQwen2, "layer_types", "[\"full_attention\",7]", kUnsupported, "layer_types[1] is 7"},
      {kQwen3, "head_dim", "15", kInvalid, "head_dim is 15, wanted an even number"},
      {kQwen3, "head_dim", "-16", kInvalid, "head_dim: got -16"},
      {kQwen3, "head_dim", "null", kInvalid, "wanted [1024, 40]"},
      {kQwen3, "attention_bias", "true", kInvalid, "q_proj.bias"},
      {kQwen3Moe, "num_experts", "0", kInvalid, "num_experts: got 0, wanted 1 to"},
      {kQwen3Moe, "num_experts", "9", kInvalid, "mlp.experts.8."},
      {kQwen3Moe, "num_local_experts", "4", kInvalid, "shape [8, 32], wanted [4, 32]"},
      {kQwen3Moe, "num_experts_per_tok", "9", kInvalid, "num_experts_per_tok is 9, wanted at most"},
      {kQwen3Moe, "num_experts_per_tok", "0", kInvalid, "num_experts_per_tok: got 0"},
      {kQwen3Moe, "decoder_sparse_step", "0", kInvalid, "decoder_sparse_step: got 0"},
      {kQwen3Moe, "decoder_sparse_step", "\"1\"", kInvalid, "decoder_sparse_step: got a string"},
      {kQwen3Moe, "mlp_only_layers", "1", kInvalid, "mlp_only_layers: got an integer"},
      {kQwen3Moe,
       "mlp_only_layers",
       "[2]",
       kInvalid,
       "mlp_only_layers[0] is 2, wanted a layer from 0 to 1"},
      {kQwen3Moe,
       "mlp_only_layers",
       "[0,-1]",
       kInvalid,
       "mlp_only_layers[1] is -1, wanted a layer"},
      {kQwen3Moe,
       "mlp_only_layers",
       "[0.5]",
       kInvalid,
       "mlp_only_layers[0] is 0.5, wanted a layer"},
      {kQwen3Moe, "mlp_only_layers", "[\"0\"]", kInvalid, "mlp_only_layers[0] is \"0\""},
  };
  for (const Setting& s : settings) {
    copy(s.fixture);
    set(s.key, s.value);
    const Status status = load();
    EXPECT_EQ(status.code(), s.code) << s.key << " " << s.value << ": " << status.message();
    EXPECT_THAT(status.message(), HasSubstr(dir_.path())) << s.key << " " << s.value;
    EXPECT_THAT(status.message(), HasSubstr(s.message)) << s.key << " " << s.value;
  }
}

// sliding_window is null in the fixture, so two keys must change.
TEST_F(HostileModelTest, SlidingWindows) {
  for (const char* name : {"qwen2_tied_f32", "qwen3_base_f32", "qwen3moe_norm_f32"}) {
    copy(name);
    set("use_sliding_window", "true");
    set("sliding_window", "32");
    set("max_window_layers", "1");
    const Status status = load();
    EXPECT_EQ(status.code(), StatusCode::kUnsupported) << name;
    EXPECT_THAT(status.message(),
                HasSubstr(dir_.file("config.json") +
                          ": use_sliding_window true with sliding_window 32 is not supported"));
    set("sliding_window", "256");  // max_position_embeddings: no position is out of the window
    EXPECT_TRUE(load().ok()) << name;
    set("sliding_window", "null");
    EXPECT_TRUE(load().ok()) << name;
    set("sliding_window", "32");
    set("max_window_layers", "2");  // counts for the classes that choose by layer
    EXPECT_EQ(load().ok(), std::string(name) != "qwen3moe_norm_f32") << name;
  }
}

TEST_F(HostileModelTest, RequiredKeys) {
  const std::pair<const char*, std::vector<const char*>> required[] = {{"llama_yarn_auto_f32",
                                                                        {"vocab_size",
                                                                         "hidden_size",
                                                                         "num_hidden_layers",
                                                                         "num_attention_heads",
                                                                         "intermediate_size"}},
                                                                       {"dsv3_base_f32",
                                                                        {"vocab_size",
                                                                         "kv_lora_rank",
                                                                         "qk_nope_head_dim",
                                                                         "qk_rope_head_dim",
                                                                         "v_head_dim",
                                                                         "n_routed_experts",
                                                                         "moe_intermediate_size",
                                                                         "num_experts_per_tok"}}};
  for (const auto& [name, keys] : required) {
    for (const char* key : keys) {
      copy(name);
      remove(key);
      EXPECT_EQ(load().message(),
                fmt::format("{}: {}: missing; wanted an integer", dir_.file("config.json"), key));
    }
  }
}

TEST_F(HostileModelTest, TransposedWeights) {
  copy("llama_yarn_auto_f32");
  std::string file = read_file(dir_.file("model.safetensors")).value();
  const std::string from = "\"shape\":[40,48]";
  const size_t at = file.find(from);
  ASSERT_NE(at, std::string::npos);
  file.replace(at, from.size(), "\"shape\":[48,40]");
  dir_.write("model.safetensors", file);
  const Status status = load();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(),
              HasSubstr(dir_.file("model.safetensors") +
                        ": model.layers.0.mlp.down_proj.weight: shape [48, 40], wanted [40, 48]; "
                        "is the checkpoint transposed?"));
}

TEST_F(HostileModelTest, TruncatedWeights) {
  copy("llama_yarn_auto_f32");
  const std::string file = read_file(dir_.file("model.safetensors")).value();
  dir_.write("model.safetensors", file.substr(0, file.size() / 2));
  const Status status = load();
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_THAT(status.message(), HasSubstr(dir_.file("model.safetensors")));
  EXPECT_THAT(status.message(), HasSubstr("is the download complete?"));
}

TEST_F(HostileModelTest, ScaleThatIsNotANumber) {
  copy("dsv3_fp8_small_groups");
  std::string file = read_file(dir_.file("model.safetensors")).value();
  uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof header);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  // The first tensor of this fixture: layer 0's down_proj.weight_scale_inv.
  std::memcpy(file.data() + 8 + header, &nan, sizeof nan);
  dir_.write("model.safetensors", file);
  for (const int ranks : {1, 2}) {
    const Status status = load(ranks);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_THAT(status.message(), HasSubstr("down_proj.weight_scale_inv: scales [0, 0]"));
  }
}

// Dummy weights have no file that bounds them: the plan must, before anything is allocated.
TEST_F(HostileModelTest, DummyWeightsLargerThanMemory) {
  for (const char* experts : {"4096", "1048576"}) {
    copy("dsv3_base_f32");
    set("hidden_size", "1048576");
    set("moe_intermediate_size", "1048576");
    set("n_routed_experts", experts);
    for (const int ranks : {1, 8}) {
      const Status status = load(ranks, LoadFormat::kDummy);
      EXPECT_EQ(status.code(), StatusCode::kOutOfMemory) << status.message();
      EXPECT_THAT(status.message(), ::testing::ContainsRegex("need"));
    }
  }
}

TEST_F(HostileModelTest, RankCounts) {
  copy("dsv3_base_f32");
  for (const int ranks : {3, 5, 6, 7, 9, 16, 64}) {
    const Status status = load(ranks);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr(fmt::format("‹tp› {}", ranks)));
    EXPECT_THAT(status.message(), HasSubstr("legal for this model: 1, 2, 4, 8"));
  }
  for (const int ranks : {-1, 65, INT32_MAX}) {
    EXPECT_THAT(load(ranks).message(), HasSubstr("wanted 1 to 64"));
  }
  EXPECT_TRUE(load(0).ok()) << "the backend chooses";
}

}  // namespace
}  // namespace tutti
