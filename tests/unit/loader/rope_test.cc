// Rotary tables and softmax scales of real checkpoints, computed independently in double precision.
#include <cmath>

#include <gtest/gtest.h>

#include "nn/rotary.h"

namespace tutti {
namespace {

RopeConfig rope(const std::string& keys) {
  Json json = parse_json("{\"architectures\":[\"X\"]," + keys + "}").value();
  const HfConfig config = HfConfig::parse("config.json", std::move(json)).value();
  const Result<RopeConfig> rope = config.rope();
  EXPECT_TRUE(rope.ok()) << rope.status().message();
  return rope.ok() ? *rope : RopeConfig();
}

struct Table {
  const char* name;
  const char* keys;
  int64_t dim;
  std::vector<std::pair<size_t, double>> values;
};

TEST(RopeTest, InverseFrequenciesOfKnownModels) {
  const Table tables[] = {
      {"DeepSeek-V3",
       R"("rope_theta":10000,"max_position_embeddings":163840,"rope_scaling":{"type":"yarn",
          "factor":40,"original_max_position_embeddings":4096,"beta_fast":32,"beta_slow":1,
          "mscale":1.0,"mscale_all_dim":1.0})",
       64,
       {{0, 1.0},
        {1, 7.498942093e-01},
        {10, 5.623413252e-02},
        {11, 3.900692657e-02},
        {16, 5.5e-03},
        {20, 7.905694150e-04},
        {22, 1.778279410e-04},
        {23, 3.333803580e-05},
        {31, 3.333803580e-06}}},
      {"Kimi-K2-Thinking",
       R"("rope_theta":50000,"max_position_embeddings":262144,"rope_scaling":{"type":"yarn",
          "factor":64,"original_max_position_embeddings":4096,"beta_fast":1,"beta_slow":1,
          "mscale":1.0,"mscale_all_dim":1.0})",
       64,
       {{0, 1.0},
        {1, 7.131110849e-01},
        {18, 2.274203757e-03},
        {19, 1.621759908e-03},
        {20, 1.807023387e-05},
        {21, 1.288608408e-05},
        {31, 4.382206456e-07}}},
      {"R1-0528-Qwen3-8B",
       R"("rope_theta":1000000,"max_position_embeddings":131072,"rope_scaling":{"rope_type":"yarn",
          "factor":4.0,"original_max_position_embeddings":32768,"attn_factor":0.8782488562869419})",
       128,
       {{0, 1.0},
        {23, 6.978305849e-03},
        {24, 5.375321491e-03},
        {32, 6.029411765e-04},
        {39, 6.490394321e-05},
        {40, 4.445698525e-05},
        {63, 3.102344402e-07}}},
      {"R1-Distill-Llama",
       R"("rope_theta":500000,"max_position_embeddings":131072,"rope_scaling":{"rope_type":"llama3",
          "factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
          "original_max_position_embeddings":8192})",
       128,
       {{0, 1.0},
        {1, 8.146172339e-01},
        {28, 3.211445995e-03},
        {29, 2.166570764e-03},
        {31, 8.567514129e-04},
        {34, 1.785078128e-04},
        {35, 9.556212354e-05},
        {63, 3.068925989e-07}}},
      {"MiniMax-M2",
       R"("rope_theta":5000000)",
       64,
       {{0, 1.0}, {1, 6.175287581e-01}, {16, 4.472135955e-04}, {31, 3.238715564e-07}}},
      {"Qwen3",
       R"("rope_parameters":{"rope_type":"default","rope_theta":1000000})",
       128,
       {{0, 1.0}, {1, 8.058421878e-01}, {32, 1.0e-03}, {63, 1.240937761e-06}}},
      {"R1-Distill-Qwen-1.5B",
       R"("rope_theta":10000)",
       128,
       {{0, 1.0}, {1, 8.659643234e-01}, {32, 1.0e-02}, {63, 1.154781985e-04}}},
      {"linear, factor 4",
       R"("rope_theta":10000,"rope_scaling":{"type":"linear","factor":4})",
       128,
       {{0, 0.25}, {32, 2.5e-03}}},
      {"dynamic, inside max_position_embeddings",
       R"("rope_theta":10000,"rope_scaling":{"type":"dynamic","factor":4})",
       128,
       {{0, 1.0}, {32, 1.0e-02}}},
  };
  for (const Table& t : tables) {
    const std::vector<float> got = rope_inv_freq(rope(t.keys), t.dim);
    ASSERT_EQ(got.size(), static_cast<size_t>(t.dim / 2)) << t.name;
    for (const auto& [i, want] : t.values) {
      EXPECT_NEAR(static_cast<double>(got[i]) / want, 1.0, 2e-7) << t.name << " index " << i;
    }
  }
}

TEST(RopeTest, LongRopeHasTwoSetsOfFrequencies) {
  const RopeConfig c = rope(
      R"("rope_theta":10000,"max_position_embeddings":131072,"rope_scaling":{"type":"longrope",
         "original_max_position_embeddings":4096,"short_factor":[1,2],"long_factor":[4,8]})");
  EXPECT_EQ(rope_inv_freq(c, 4), (std::vector<float>{1.0F, 0.005F}));
  EXPECT_EQ(rope_inv_freq(c, 4, true), (std::vector<float>{0.25F, 0.00125F}));
  EXPECT_EQ(long_rope_from(c), 4096);
  // Phi-3: sqrt(1 + ln(32) / ln(4096)).
  EXPECT_NEAR(rope_multiplier(c), 1.1902380714238083, 1e-15);
  EXPECT_EQ(long_rope_from(rope(R"("rope_theta":10000)")), 0);
}

TEST(RopeTest, TheOriginalContextBesideTheLimitWins) {
  EXPECT_EQ(rope(R"("max_position_embeddings":8192,"original_max_position_embeddings":512,
                    "rope_scaling":{"type":"yarn","factor":2,
                                    "original_max_position_embeddings":1024})")
                .original_max_position,
            512);
}

TEST(RopeTest, CosAndSinMultipliers) {
  EXPECT_EQ(rope_multiplier(rope(R"("rope_theta":1)")), 1.0);
  const std::string yarn =
      R"("rope_scaling":{"type":"yarn","factor":40,"original_max_position_embeddings":4096)";
  EXPECT_DOUBLE_EQ(rope_multiplier(rope(yarn + "}")), 0.1 * std::log(40.0) + 1.0);
  EXPECT_DOUBLE_EQ(rope_multiplier(rope(yarn + R"(,"mscale":1.0,"mscale_all_dim":1.0})")), 1.0);
  EXPECT_DOUBLE_EQ(rope_multiplier(rope(yarn + R"(,"attention_factor":0.5})")), 0.5);
  // DeepSeek-R1-0528-Qwen3-8B: attn_factor is there to make the product 1.
  EXPECT_NEAR(rope_multiplier(rope(R"("rope_scaling":{"rope_type":"yarn","factor":4.0,
                  "original_max_position_embeddings":32768,"attn_factor":0.8782488562869419})")),
              1.0,
              1e-15);
  EXPECT_DOUBLE_EQ(rope_multiplier(rope(yarn + R"(,"mscale":0.707,"mscale_all_dim":1.0})")),
                   (0.0707 * std::log(40.0) + 1.0) / (0.1 * std::log(40.0) + 1.0));
}

TEST(RopeTest, SoftmaxScales) {
  const auto scale = [](const std::string& keys) {
    const double m = yarn_softmax_mscale(rope(keys));
    return m * m / std::sqrt(192.0);
  };
  EXPECT_DOUBLE_EQ(scale(R"("rope_theta":10000)"), 0.07216878364870322);
  EXPECT_NEAR(scale(R"("rope_scaling":{"type":"yarn","factor":40,"mscale":1.0,"mscale_all_dim":1.0,
                       "original_max_position_embeddings":4096})"),
              0.1352337788608801,
              1e-15);
  EXPECT_NEAR(scale(R"("rope_scaling":{"type":"yarn","factor":64,"mscale":1.0,"mscale_all_dim":1.0,
                       "original_max_position_embeddings":4096})"),
              0.14467962580268923,
              1e-15);
}

TEST(RopeTest, ExtremeSettingsStayFinite) {
  for (
      const char* keys :
      {R"("rope_theta":1000000000000000000)",
       R"("rope_scaling":{"type":"yarn","factor":1e9,"original_max_position_embeddings":1})",
       R"("rope_scaling":{"type":"yarn","factor":1e-9,"original_max_position_embeddings":2147483648})",
       R"("rope_scaling":{"type":"yarn","factor":2,"original_max_position_embeddings":64,
           "beta_fast":1e9,"beta_slow":1e-9})",
       R"("rope_scaling":{"rope_type":"llama3","factor":1e-9,"low_freq_factor":1e9,
           "high_freq_factor":1e-9,"original_max_position_embeddings":1})"}) {
    for (const float f : rope_inv_freq(rope(keys), 64)) {
      EXPECT_TRUE(std::isfinite(f)) << keys;
    }
  }
}

}  // namespace
}  // namespace tutti
