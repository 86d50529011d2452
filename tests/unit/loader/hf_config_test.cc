#include "loader/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tensor/packed_format.h"
#include "unit/loader/checkpoint_files.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

constexpr const char* kArchitecture = "\"architectures\":[\"LlamaForCausalLM\"]";

Result<HfConfig> parse(const std::string& text) {
  return HfConfig::parse("config.json", parse_json(text).value());
}

Result<HfConfig> with(const std::string& keys) {
  return parse(std::string("{") + kArchitecture + "," + keys + "}");
}

struct Bad {
  std::string text;
  StatusCode code;
  std::string message;
};

TEST(HfConfigTest, Refusals) {
  constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
  constexpr StatusCode kUnsupported = StatusCode::kUnsupported;
  const std::string a = std::string("{") + kArchitecture;
  const Bad cases[] = {
      {"[]", kInvalid, "config.json: is an array, wanted an object"},
      {"{}", kInvalid, "config.json: architectures is missing"},
      {R"({"architectures":[]})", kInvalid, "architectures is missing or empty"},
      {R"({"architectures":[1]})", kInvalid, "architectures is missing or empty"},
      {R"({"architectures":"LlamaForCausalLM"})", kInvalid, "architectures: got a string"},
      {a + R"(,"quantization_config":[]})", kInvalid, "quantization_config: got an array"},
      {a + R"(,"quantization_config":{}})", kInvalid, "quantization_config: quant_method: missing"},
      {a + R"(,"quantization_config":{"quant_method":"awq"}})",
       kUnsupported,
       "quant_method \"awq\" is not supported; supported are \"fp8\" and \"compressed-tensors\""},
      {a + R"(,"quantization_config":{"quant_method":8}})",
       kInvalid,
       "quant_method: got an integer"},
      {a + R"(,"quantization_config":{"quant_method":"fp8","fmt":"e5m2",
             "weight_block_size":[128,128]}})",
       kUnsupported,
       "fmt \"e5m2\""},
      {a + R"(,"quantization_config":{"quant_method":"fp8"}})",
       kUnsupported,
       "without weight_block_size"},
      {a + R"(,"quantization_config":{"quant_method":"fp8","weight_block_size":[128]}})",
       kInvalid,
       "weight_block_size is [128], wanted two positive integers"},
      {a + R"(,"quantization_config":{"quant_method":"fp8","weight_block_size":[0,128]}})",
       kInvalid,
       "weight_block_size is [0,128]"},
      {a + R"(,"quantization_config":{"quant_method":"fp8","weight_block_size":[128,-1]}})",
       kInvalid,
       "weight_block_size is [128,-1]"},
      {a + R"(,"quantization_config":{"quant_method":"fp8","weight_block_size":[128,1e99]}})",
       kInvalid,
       "weight_block_size"},
  };
  for (const Bad& bad : cases) {
    const Result<HfConfig> config = parse(bad.text);
    ASSERT_FALSE(config.ok()) << bad.text;
    EXPECT_EQ(config.status().code(), bad.code) << bad.text;
    EXPECT_THAT(config.status().message(), HasSubstr("config.json"));
    EXPECT_THAT(config.status().message(), HasSubstr(bad.message));
  }
}

TEST(HfConfigTest, RopeRefusals) {
  const Bad cases[] = {
      {R"("rope_theta":"x")",
       StatusCode::kInvalidArgument,
       "config.json: rope_theta: got a string"},
      {R"("rope_theta":0)", StatusCode::kInvalidArgument, "rope_theta: got 0"},
      {R"("rope_theta":-1)", StatusCode::kInvalidArgument, "rope_theta: got -1"},
      {R"("rope_scaling":7)", StatusCode::kInvalidArgument, "rope_scaling: got an integer"},
      {R"("rope_scaling":{"type":"longrope","factor":2})",
       StatusCode::kInvalidArgument,
       "rope_scaling: short_factor is missing; rope_type longrope needs it"},
      {R"("rope_scaling":{"type":"longrope","short_factor":[1,2],"long_factor":[1,0]})",
       StatusCode::kInvalidArgument,
       "rope_scaling: long_factor[1] is 0, wanted a number from 1e-9 to 1e9"},
      {R"("rope_scaling":{"type":"longrope","short_factor":[1,"x"],"long_factor":[1,2]})",
       StatusCode::kInvalidArgument,
       "rope_scaling: short_factor[1] is \"x\", wanted a number from 1e-9 to 1e9"},
      {R"("rope_parameters":{"rope_type":"proportional"})",
       StatusCode::kUnsupported,
       "rope_parameters: rope_type \"proportional\" is not supported; supported are default"},
      {R"("rope_parameters":{"rope_type":"dynamic"})",
       StatusCode::kInvalidArgument,
       "rope_parameters: factor is missing; rope_type dynamic needs it"},
      {R"("rope_parameters":{"full_attention":{"rope_theta":1e6}})",
       StatusCode::kUnsupported,
       "rope_parameters: full_attention (settings per layer type) is not supported"},
      {R"("rope_scaling":{"type":"linear","factor":2,"partial_rotary_factor":0.5})",
       StatusCode::kUnsupported,
       "rope_scaling: partial_rotary_factor 0.5 is not supported with rope_type linear"},
      {R"("partial_rotary_factor":0.25,"rope_parameters":{"rope_type":"yarn","factor":2})",
       StatusCode::kUnsupported,
       "partial_rotary_factor 0.25 is not supported with rope_type yarn"},
      {R"("rope_scaling":{"type":"linear"})", StatusCode::kInvalidArgument, "factor is missing"},
      {R"("rope_scaling":{"type":"linear","factor":0})",
       StatusCode::kInvalidArgument,
       "factor: got 0"},
      {R"("rope_scaling":{"type":"linear","factor":-4})",
       StatusCode::kInvalidArgument,
       "factor: got -4"},
      {R"("rope_scaling":{"type":"yarn","factor":4})",
       StatusCode::kInvalidArgument,
       "original_max_position_embeddings is missing; rope_type yarn needs it"},
      {R"("rope_scaling":{"rope_type":"llama3","factor":8})",
       StatusCode::kInvalidArgument,
       "original_max_position_embeddings is missing; rope_type llama3 needs it"},
      {R"("rope_scaling":{"type":"yarn","factor":4,"original_max_position_embeddings":0})",
       StatusCode::kInvalidArgument,
       "original_max_position_embeddings: got 0"},
      {R"("rope_scaling":{"type":"yarn","factor":4,"beta_fast":-1,
          "original_max_position_embeddings":64})",
       StatusCode::kInvalidArgument,
       "rope_scaling: beta_fast: got -1"},
      {R"("max_position_embeddings":1e15)",
       StatusCode::kInvalidArgument,
       "max_position_embeddings"},
  };
  for (const Bad& bad : cases) {
    const Result<HfConfig> config = with(bad.text);
    ASSERT_TRUE(config.ok()) << bad.text << ": " << config.status().message();
    const Result<RopeConfig> rope = config->rope();
    ASSERT_FALSE(rope.ok()) << bad.text;
    EXPECT_EQ(rope.status().code(), bad.code) << bad.text;
    EXPECT_THAT(rope.status().message(), HasSubstr("config.json: "));
    EXPECT_THAT(rope.status().message(), HasSubstr(bad.message));
  }
}

TEST(HfConfigTest, BothGenerationsOfRopeKeys) {
  const RopeConfig v4 = with(R"("rope_theta":5e5,"max_position_embeddings":1024,
              "rope_scaling":{"type":"yarn","original_max_position_embeddings":64})")
                            ->rope()
                            .value();
  EXPECT_EQ(v4.type, "yarn");
  EXPECT_EQ(v4.theta, 5e5);
  EXPECT_EQ(v4.factor, 16.0) << "without a factor: the ratio of the two lengths";
  const RopeConfig v5 =
      with(R"("rope_parameters":{"rope_type":"linear","rope_theta":2000.0,"factor":2})")
          ->rope()
          .value();
  EXPECT_EQ(v5.type, "linear");
  EXPECT_EQ(v5.theta, 2000.0);
  const RopeConfig both = with(R"("rope_scaling":{"type":"linear","factor":3},
                                  "rope_parameters":{"rope_type":"default"})")
                              ->rope()
                              .value();
  EXPECT_EQ(both.type, "linear") << "rope_scaling wins, as in transformers";
  const RopeConfig types = with(R"("rope_scaling":{"type":"linear","rope_type":"yarn","factor":2},
                                   "max_position_embeddings":64)")
                               ->rope()
                               .value();
  EXPECT_EQ(types.type, "yarn") << "rope_type wins over type";
  EXPECT_EQ(types.original_max_position, 64);
  const RopeConfig empty = with(R"("rope_scaling":{},
                                   "rope_parameters":{"rope_type":"linear","factor":3})")
                               ->rope()
                               .value();
  EXPECT_EQ(empty.type, "linear") << "an empty rope_scaling counts as none";
  const RopeConfig partial = with(R"("partial_rotary_factor":0.5)")->rope().value();
  EXPECT_EQ(partial.type, "default") << "the default type rotates whole heads all the same";
  const RopeConfig by_class =
      with(R"("rope_scaling":{"type":"yarn","factor":2})")->rope(32768).value();
  EXPECT_EQ(by_class.original_max_position, 32768) << "the class default of the architecture";
  const RopeConfig none = with(R"("rope_scaling":null)")->rope().value();
  EXPECT_EQ(none.type, "default");
  EXPECT_EQ(none.theta, 10000.0);
}

TEST(HfConfigTest, QuantisationBlocks) {
  const HfConfig config =
      with(
          R"("quantization_config":{"quant_method":"fp8","fmt":"e4m3","weight_block_size":[64,32]})")
          .value();
  EXPECT_EQ(config.quant.format, &kE4M3BlockWeights);
  EXPECT_EQ(config.quant.block, (WeightCell{64, 32}));
  EXPECT_EQ(with(R"("quantization_config":null)")->quant.format, nullptr);
}

TEST(HfConfigTest, ModulesThatAreNotQuantised) {
  const auto quant = [](const std::string& modules) {
    return with(
        R"("quantization_config":{"quant_method":"fp8","weight_block_size":[128,128],"modules_to_not_convert":)" +
        modules + "}");
  };
  const QuantConfig some = quant(R"(["lm_head","model.layers.0.mlp","gate"])").value().quant;
  EXPECT_FALSE(some.converts("lm_head.weight"));
  EXPECT_FALSE(some.converts("model.layers.0.mlp.up_proj.weight"));
  EXPECT_FALSE(some.converts("model.layers.7.mlp.gate.weight"));
  EXPECT_TRUE(some.converts("model.layers.7.mlp.gate_proj.weight")) << "whole names only";
  EXPECT_TRUE(some.converts("model.layers.01.mlp.up_proj.weight"));
  EXPECT_TRUE(quant("null").value().quant.converts("lm_head.weight"));
  EXPECT_TRUE(quant("[]").value().quant.converts("lm_head.weight"));
  EXPECT_THAT(quant("[3]").status().message(),
              HasSubstr("modules_to_not_convert[0] is 3, wanted the name of a module"));
  EXPECT_FALSE(quant("\"lm_head\"").ok());
}

Result<QuantConfig> compressed(const std::string& format,
                               const std::string& weights,
                               const std::string& more = "",
                               const std::string& type = "bfloat16") {
  TUTTI_TRY(
      const HfConfig config,
      with(fmt::format(
          R"("torch_dtype":"{}","quantization_config":{{"quant_method":"compressed-tensors",)"
          R"("format":"{}","config_groups":{{"group_0":{{"targets":["Linear"],"weights":{{{}}}}}}}{}}})",
          type,
          format,
          weights,
          more)));
  return config.quant;
}

// As Kimi-K2-Thinking's config.json has it.
TEST(HfConfigTest, PackedIntegers) {
  const QuantConfig kimi =
      compressed("pack-quantized",
                 R"("num_bits":4,"type":"int","symmetric":true,"strategy":"group","group_size":32,)"
                 R"("dynamic":false,"actorder":null)",
                 R"(,"kv_cache_scheme":null,"ignore":["lm_head","re:.*self_attn.*",)"
                 R"("re:.*shared_experts.*","re:.*mlp\\.(gate|up|gate_up|down)_proj.*"])")
          .value();
  EXPECT_EQ(kimi.format, &packed_format({.bits = 4}));
  EXPECT_EQ(kimi.block, (WeightCell{1, 32}));
  EXPECT_TRUE(kimi.converts("model.layers.1.mlp.experts.7.gate_proj.weight"));
  for (const char* dense : {"lm_head.weight",
                            "model.layers.0.mlp.gate_proj.weight",
                            "model.layers.1.self_attn.q_b_proj.weight",
                            "model.layers.1.mlp.shared_experts.up_proj.weight"}) {
    EXPECT_FALSE(kimi.converts(dense)) << dense;
  }
  EXPECT_TRUE(kimi.converts("model.lm_head.weight")) << "whole names, unless it is a pattern";
}

TEST(HfConfigTest, OtherCompressedTensors) {
  const auto group = [](int bits, const char* more) {
    return fmt::format(
        R"("num_bits":{},"type":"int","strategy":"group","group_size":128{})", bits, more);
  };
  EXPECT_EQ(compressed("pack-quantized", group(8, R"(,"symmetric":false)"), "", "float16")->format,
            &packed_format({.bits = 8, .scales = DType::kF16, .symmetric = false}));
  const QuantConfig rows =
      compressed("int-quantized", R"("num_bits":8,"type":"int","strategy":"channel")").value();
  EXPECT_EQ(rows.format, &kI8Weights);
  EXPECT_EQ(rows.block, (WeightCell{1, kWholeSide}));
  const QuantConfig blocks =
      compressed("float-quantized",
                 R"("num_bits":8,"type":"float","strategy":"block","block_structure":[128,64])")
          .value();
  EXPECT_EQ(blocks.format, &kE4M3ScaledWeights);
  EXPECT_EQ(blocks.block, (WeightCell{128, 64}));
  EXPECT_EQ(
      compressed("float-quantized", R"("num_bits":8,"type":"float","strategy":"tensor")")->block,
      (WeightCell{kWholeSide, kWholeSide}));
}

TEST(HfConfigTest, CompressedTensorsThatAreRefused) {
  const std::string group =
      R"("num_bits":4,"type":"int","strategy":"group","group_size":32,"actorder":)";
  for (const auto& [got, said] : {
           std::pair{compressed("pack-quantized", group + R"("group")"), "actorder \"group\""},
           std::pair{compressed("pack-quantized", group + R"("dynamic")"), "actorder \"dynamic\""},
           std::pair{compressed("pack-quantized", group + "true"), "actorder true"},
           std::pair{compressed("marlin-24", group + "null"), "format \"marlin-24\""},
           std::pair{compressed("int-quantized", group + "null"), "int-quantized weights"},
           std::pair{compressed("pack-quantized", R"("num_bits":3,"strategy":"channel")"),
                     "3 bits"},
           std::pair{compressed("pack-quantized", R"("num_bits":4,"strategy":"tensor_group")"),
                     "strategy \"tensor_group\""},
           std::pair{compressed("pack-quantized", R"("num_bits":4,"strategy":"group")"),
                     "group_size: missing"},
           std::pair{compressed("pack-quantized", group + "null", R"(,"ignore":["re:("])"),
                     "\"re:(\" is no regular expression"},
           std::pair{compressed("pack-quantized", group + "null", R"(,"ignore":[7])"),
                     "ignore[0] is 7"},
       }) {
    ASSERT_FALSE(got.ok()) << said;
    EXPECT_THAT(got.status().message(), HasSubstr(said));
  }
}

TEST(HfConfigTest, Files) {
  const TempDir dir;
  const auto message = [&dir] { return HfConfig::load(dir.path()).status().message(); };
  EXPECT_THAT(message(), HasSubstr(dir.file("config.json") + ": no such file"));
  dir.write("config.json", "{\"a\":}");
  EXPECT_THAT(message(), HasSubstr(dir.file("config.json") + ": invalid JSON at line 1"));
  dir.write("config.json", "");
  EXPECT_THAT(message(), HasSubstr("empty"));
  std::filesystem::remove(dir.file("config.json"));
  std::filesystem::create_directory(dir.file("config.json"));
  EXPECT_THAT(message(), HasSubstr("is not a regular file"));
  EXPECT_EQ(HfConfig::load(dir.file("absent")).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace tutti
