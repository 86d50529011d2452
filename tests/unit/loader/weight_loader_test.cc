// Slices of fused, stacked and block-quantised parameters against the global matrices.
#include "loader/weight_loader.h"

#include <filesystem>
#include <numeric>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/cpu_device.h"
#include "loader/checkpoint.h"
#include "unit/loader/checkpoint_files.h"

namespace tutti {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::make_tensor;
using testing::safetensors;
using testing::TempDir;
using testing::TestTensor;

struct Matrix {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<float> values;

  float at(int64_t r, int64_t c) const { return values[usize(r * cols + c)]; }
};

// Values that e4m3 holds exactly and that tell positions apart.
Matrix matrix(int64_t rows, int64_t cols, int seed) {
  Matrix m{rows, cols, std::vector<float>(usize(rows * cols))};
  for (size_t i = 0; i < m.values.size(); ++i) {
    const auto code = static_cast<uint8_t>((i * 37 + static_cast<size_t>(seed) * 11) % 126);
    m.values[i] = to_float(F8E4M3{code});
  }
  return m;
}

Matrix scales_of(const Matrix& m, const QuantConfig& q, int seed) {
  Matrix s{ceil_div(m.rows, q.block.rows), ceil_div(m.cols, q.block.cols), {}};
  for (int64_t i = 0; i < s.rows * s.cols; ++i) {
    s.values.push_back(0.25F * static_cast<float>(seed + 1) + static_cast<float>(i));
  }
  return s;
}

Matrix dequantised(Matrix m, const Matrix& scales, const QuantConfig& q) {
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int64_t c = 0; c < m.cols; ++c) {
      m.values[usize(r * m.cols + c)] *= scales.at(r / q.block.rows, c / q.block.cols);
    }
  }
  return m;
}

TestTensor tensor(const std::string& name, const std::string& dtype, const Matrix& m) {
  return make_tensor(name, dtype, {m.rows, m.cols}, m.values);
}

// w[n, k] of group g, dense or of E4M3 blocks, by the formulas of tensor/weight_format.h.
float view_value(const WeightView& w, int64_t g, int64_t n, int64_t k) {
  const auto plane_row = [&](ConstTensorView plane, int64_t row) {
    return (plane.rank() == 3 ? plane.at(g) : plane).at(row);
  };
  const ConstTensorView row = plane_row(w.values(), n);
  switch (w.values().dtype()) {
    case DType::kF32:
      return row.data<float>()[k];
    case DType::kF16:
      return to_float(row.data<F16>()[k]);
    case DType::kBF16:
      return to_float(row.data<BF16>()[k]);
    default:
      break;
  }
  const WeightCell block = w.cell(1);
  return to_float(row.data<F8E4M3>()[k]) *
         plane_row(w.scales(), n / block.rows).data<float>()[k / block.cols];
}

class WeightLoaderTest : public ::testing::Test {
 protected:
  void write(const std::vector<TestTensor>& tensors, size_t padding = 0) {
    dir_.write("model.safetensors", safetensors(tensors, padding));
    checkpoint_ = Checkpoint::open(dir_.path()).value();
  }

  WeightLoader loader() { return {registry_, checkpoint_.get(), quant_}; }

  // Plans, loads, and compares the two accounts of bytes read.
  void load() {
    WeightLoader weights = loader();
    const Result<LoadPlan> plan = weights.plan({});
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    std::atomic<int64_t> done{0};
    const Status status = weights.load(device_, upload_, &done);
    ASSERT_TRUE(status.ok()) << status.message();
    int64_t loaded = 0;
    for (const Param& param : registry_.params()) {
      loaded += param.bytes();
    }
    EXPECT_EQ(loaded, plan->weight_bytes);
    EXPECT_EQ(weights.read_bytes(), plan->read_bytes);
    EXPECT_EQ(done.load(), plan->read_bytes) << "a progress bar must not pass its end";
    read_bytes_ = weights.read_bytes();
  }

  void expect_plan_error(const std::vector<std::string>& parts) {
    const Result<LoadPlan> plan = loader().plan({});
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(plan.status().code(), StatusCode::kInvalidArgument);
    for (const std::string& part : parts) {
      EXPECT_THAT(plan.status().message(), HasSubstr(part));
    }
  }

  Param* add(const std::string& source, int64_t rows, int64_t cols) {
    ParamSpec spec{.name = source,
                   .sources = {{source, rows, {0, rows}}},
                   .cols = cols,
                   .take_cols = {0, cols}};
    return registry_.add(std::move(spec));
  }

  TempDir dir_;
  CpuDevice device_;
  ParamRegistry registry_;
  QuantConfig quant_;
  // Small pieces: cuts fall into rows, blocks of scales and sources.
  UploadOptions upload_{.threads = 3, .piece_bytes = 64};
  std::unique_ptr<Checkpoint> checkpoint_;
  int64_t read_bytes_ = 0;
};

TEST_F(WeightLoaderTest, FusedRowsOfTwoMatrices) {
  const Matrix a = matrix(6, 4, 1);
  const Matrix b = matrix(4, 4, 2);
  write({tensor("a", "BF16", a), tensor("b", "BF16", b)});
  Param* p = registry_.add({.name = "ab",
                            .sources = {{"a", 6, {2, 3}}, {"b", 4, {0, 2}}},
                            .cols = 4,
                            .take_cols = {1, 2}});
  load();
  const WeightView w = p->weight();
  EXPECT_EQ(w.values().dtype(), DType::kBF16);
  EXPECT_EQ(w.shape, (Shape{5, 2}));
  for (int64_t n = 0; n < 5; ++n) {
    for (int64_t k = 0; k < 2; ++k) {
      EXPECT_EQ(view_value(w, 0, n, k), n < 3 ? a.at(2 + n, 1 + k) : b.at(n - 3, 1 + k));
    }
  }
  EXPECT_EQ(read_bytes_, 5 * 2 * 2) << "this rank's slice and nothing else";
}

TEST_F(WeightLoaderTest, QuantisedShardsThatBeginInsideABlock) {
  quant_ = {.format = &kE4M3BlockWeights, .block = {4, 8}};
  const Matrix a = matrix(10, 20, 1);
  const Matrix b = matrix(7, 20, 2);
  const Matrix sa = scales_of(a, quant_, 1);
  const Matrix sb = scales_of(b, quant_, 2);
  const Matrix da = dequantised(a, sa, quant_);
  const Matrix db = dequantised(b, sb, quant_);
  write({tensor("a", "F8_E4M3", a),
         tensor("a_scale_inv", "F32", sa),
         tensor("b", "F8_E4M3", b),
         tensor("b_scale_inv", "F32", sb)});
  for (const int ranks : {1, 2, 3, 5}) {
    for (int rank = 0; rank < ranks; ++rank) {
      registry_.params().clear();
      const Partition part(rank, ranks);
      const Range ra = part.balanced(10, "a").value();
      const Range rb = part.balanced(7, "b").value();
      const Range cols = part.balanced(20, "cols").value();
      Param* p = registry_.add(
          {.name = "ab", .sources = {{"a", 10, ra}, {"b", 7, rb}}, .cols = 20, .take_cols = cols});
      load();
      const WeightView w = p->weight();
      EXPECT_EQ(&w.format(), &kE4M3BlockWeights);
      if (ranks == 1) {  // b begins at row 10, in the middle of a block of a
        EXPECT_EQ(w.cell(1), (WeightCell{2, 8}));
      }
      EXPECT_EQ(p->bytes(), w.layout.bytes(w.shape));
      for (int64_t n = 0; n < ra.count + rb.count; ++n) {
        for (int64_t k = 0; k < cols.count; ++k) {
          const float want = n < ra.count ? da.at(ra.begin + n, cols.begin + k)
                                          : db.at(rb.begin + n - ra.count, cols.begin + k);
          ASSERT_EQ(view_value(w, 0, n, k), want) << ranks << " " << rank << " " << n << " " << k;
        }
      }
    }
  }
}

TEST_F(WeightLoaderTest, StackedAndFusedExperts) {
  quant_ = {.format = &kE4M3BlockWeights, .block = {4, 4}};
  std::vector<TestTensor> tensors;
  std::vector<Matrix> dense;
  for (int e = 0; e < 3; ++e) {
    for (const char* part : {"gate", "up"}) {
      const int seed = 2 * e + (part[0] == 'u' ? 1 : 0);
      const Matrix m = matrix(6, 10, seed);
      const Matrix s = scales_of(m, quant_, seed);
      dense.push_back(dequantised(m, s, quant_));
      tensors.push_back(tensor(fmt::format("e.{}.{}", e, part), "F8_E4M3", m));
      tensors.push_back(tensor(fmt::format("e.{}.{}_scale_inv", e, part), "F32", s));
    }
  }
  write(tensors);
  Param* p = registry_.add({.name = "experts",
                            .sources = {{"e.{}.gate", 6, {3, 3}}, {"e.{}.up", 6, {3, 3}}},
                            .cols = 10,
                            .take_cols = {2, 5},
                            .groups = 3,
                            .take_groups = {0, 3}});
  load();
  const WeightView w = p->weight();
  EXPECT_EQ(w.shape, (Shape{3, 6, 5}));
  for (int64_t g = 0; g < 3; ++g) {
    for (int64_t n = 0; n < 6; ++n) {
      for (int64_t k = 0; k < 5; ++k) {
        const Matrix& source = dense[usize(2 * g + n / 3)];
        ASSERT_EQ(view_value(w, g, n, k), source.at(3 + n % 3, 2 + k)) << g << " " << n << " " << k;
      }
    }
  }
  // 3 experts x 2 matrices x (3 x 5 codes + 2 x 2 blocks of 4 bytes)
  EXPECT_EQ(read_bytes_, 3 * 2 * (15 + 2 * 2 * 4));
}

TEST_F(WeightLoaderTest, MixedFormatsMeetInF32) {
  quant_ = {.format = &kE4M3BlockWeights, .block = {4, 4}};
  const Matrix a = matrix(6, 6, 1);
  const Matrix s = scales_of(a, quant_, 1);
  const Matrix da = dequantised(a, s, quant_);
  const Matrix b = matrix(2, 6, 2);
  const Matrix c = matrix(2, 6, 3);
  write({tensor("a", "F8_E4M3", a),
         tensor("a_scale_inv", "F32", s),
         tensor("b", "BF16", b),
         tensor("c", "F16", c)},
        /*padding=*/3);  // f32 scales and 2-byte weights at odd addresses
  Param* p = registry_.add({.name = "abc",
                            .sources = {{"a", 6, {3, 3}}, {"b", 2, {0, 2}}, {"c", 2, {1, 1}}},
                            .cols = 6,
                            .take_cols = {3, 3}});
  load();
  const WeightView w = p->weight();
  EXPECT_EQ(w.values().dtype(), DType::kF32);
  EXPECT_TRUE(w.format().dense());
  for (int64_t n = 0; n < 6; ++n) {
    for (int64_t k = 0; k < 3; ++k) {
      const float want = n < 3 ? da.at(3 + n, 3 + k) : n < 5 ? b.at(n - 3, 3 + k) : c.at(1, 3 + k);
      EXPECT_EQ(view_value(w, 0, n, k), want) << n << " " << k;
    }
  }
  EXPECT_EQ(read_bytes_, 9 + 2 * 2 * 4 + 6 * 2 + 3 * 2);
}

// Large enough for several pieces of the upload, and for several parts of what is converted.
TEST_F(WeightLoaderTest, RandomSlicesOfLargeMatrices) {
  quant_ = {.format = &kE4M3BlockWeights, .block = {64, 48}};
  constexpr int64_t kRows = 301;
  constexpr int64_t kCols = 703;
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 random(seed);
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  const auto range = [&](int64_t size) {
    const int64_t begin = below(size);
    return Range{begin, 1 + below(size - begin)};
  };
  const Matrix a = matrix(kRows, kCols, 1);
  const Matrix s = scales_of(a, quant_, 1);
  const Matrix b = matrix(kRows, kCols, 2);
  write({tensor("q", "F8_E4M3", a),
         tensor("q_scale_inv", "F32", s),
         tensor("bf16", "BF16", b),
         tensor("f16", "F16", b),
         tensor("f32", "F32", b)},
        /*padding=*/static_cast<size_t>(below(8)));
  const Matrix da = dequantised(a, s, quant_);
  const std::vector<std::string> names{"q", "bf16", "f16", "f32"};
  for (int round = 0; round < 12; ++round) {
    upload_ = {.threads = static_cast<int>(1 + below(5)), .piece_bytes = 64 << below(15)};
    registry_.params().clear();
    // Every other round the sources are of one type and stay as they are.
    const std::string& only = names[usize(below(4))];
    ParamSpec spec{.name = "p", .cols = kCols, .take_cols = range(kCols)};
    for (int i = 0; i < 3; ++i) {
      const std::string& name = round % 2 == 0 ? only : names[usize(below(4))];
      spec.sources.push_back({name, kRows, range(kRows)});
    }
    Param* p = registry_.add(spec);
    load();
    const WeightView w = p->weight();
    int64_t n = 0;
    for (const ParamSource& source : spec.sources) {
      const Matrix& want = source.name == "q" ? da : b;
      for (int64_t r = source.take.begin; r < source.take.end(); ++r, ++n) {
        for (int64_t k = 0; k < spec.take_cols.count; ++k) {
          ASSERT_EQ(view_value(w, 0, n, k), want.at(r, spec.take_cols.begin + k))
              << source.name << " [" << r << ", " << k << "], round " << round << ", pieces of "
              << upload_.piece_bytes;
        }
      }
    }
  }
}

// Short gaps between a rank's columns are read and dropped, long ones are not.
TEST_F(WeightLoaderTest, ColumnsWithShortAndLongGaps) {
  constexpr int64_t kRows = 1100;  // more than one system call takes
  constexpr int64_t kCols = 2500;
  const Matrix m = matrix(kRows, kCols, 1);
  write({tensor("a", "F32", m)}, /*padding=*/1);
  upload_.piece_bytes = 1 << 22;
  for (const Range cols : {Range{0, 7},
                           Range{2490, 10},
                           Range{5, 2400},
                           Range{900, 453},
                           Range{900, 452},
                           Range{900, 451}}) {
    registry_.params().clear();
    Param* p = registry_.add(
        {.name = "a", .sources = {{"a", kRows, {0, kRows}}}, .cols = kCols, .take_cols = cols});
    load();
    const WeightView w = p->weight();
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t c = 0; c < cols.count; ++c) {
        ASSERT_EQ(view_value(w, 0, r, c), m.at(r, cols.begin + c)) << r << " " << c;
      }
    }
  }
}

TEST_F(WeightLoaderTest, FilesThatShrinkEndTheLoad) {
  const Matrix m = matrix(100, 100, 1);
  for (const bool converted : {false, true}) {
    for (const int64_t cols : {100, 50}) {
      registry_.params().clear();
      write({tensor("a", "BF16", m), tensor("b", "BF16", m)});
      for (const char* name : {"a", "b"}) {
        registry_.add({.name = name,
                       .sources = {{name, 100, {0, 100}}},
                       .cols = 100,
                       .take_cols = {100 - cols, cols},
                       .dtype = converted ? DTypeRule::kF32 : DTypeRule::kAsStored});
      }
      const std::string file = dir_.file("model.safetensors");
      std::filesystem::resize_file(file, std::filesystem::file_size(file) - 3 * 200 + 1);
      WeightLoader weights = loader();
      const Status status = weights.load(device_, upload_);
      EXPECT_EQ(status.code(), StatusCode::kCorrupt);
      EXPECT_THAT(status.message(), HasSubstr(file + ": b: ends at "));
      EXPECT_LT(weights.read_bytes(), 2 * 100 * cols * 2);
    }
  }
}

TEST_F(WeightLoaderTest, VectorsBecomeF32WhereTheRuleSaysSo) {
  write({make_tensor("norm", "BF16", {4}, {1.0F, 2.0F, 3.0F, 4.0F}),
         make_tensor("bias", "F16", {4}, {0.5F, 1.5F, 2.5F, 3.5F})},
        1);
  Param* norm =
      registry_.add({.name = "norm", .sources = {{"norm", 4, {1, 2}}}, .dtype = DTypeRule::kF32});
  Param* bias = registry_.add({.name = "bias", .sources = {{"bias", 4, {0, 4}}}});
  load();
  EXPECT_EQ(norm->tensor().dtype(), DType::kF32);
  EXPECT_EQ(norm->tensor().data<float>()[0], 2.0F);
  EXPECT_EQ(norm->tensor().data<float>()[1], 3.0F);
  EXPECT_EQ(bias->tensor().dtype(), DType::kF16);
  EXPECT_EQ(read_bytes_, 2 * 2 + 4 * 2);
}

TEST_F(WeightLoaderTest, DerivationFromDenseAndQuantisedSources) {
  quant_ = {.format = &kE4M3BlockWeights, .block = {4, 4}};
  const Matrix a = matrix(6, 5, 1);
  const Matrix s = scales_of(a, quant_, 3);
  const Matrix da = dequantised(a, s, quant_);
  write({tensor("q", "F8_E4M3", a), tensor("q_scale_inv", "F32", s), tensor("d", "BF16", a)});
  for (const bool quantised : {true, false}) {
    registry_.params().clear();
    Param* source = registry_.add({.name = "source",
                                   .sources = {{quantised ? "q" : "d", 6, {1, 4}}},
                                   .cols = 5,
                                   .take_cols = {0, 5}});
    Derivation transpose;
    transpose.outputs = {{"t", {5, 4}}};
    transpose.compute = [](ConstTensorView from, const std::vector<TensorView>& to) {
      for (int64_t r = 0; r < 4; ++r) {
        for (int64_t c = 0; c < 5; ++c) {
          to[0].data<float>()[c * 4 + r] = from.data<float>()[r * 5 + c];
        }
      }
    };
    Param* derived = registry_.derive(source, std::move(transpose)).front();
    load();
    EXPECT_FALSE(source->loaded()) << "freed after the derivation";
    const WeightView w = derived->weight();
    EXPECT_EQ(w.values().dtype(), quantised ? DType::kF32 : DType::kBF16);
    for (int64_t r = 0; r < 4; ++r) {
      for (int64_t c = 0; c < 5; ++c) {
        EXPECT_EQ(view_value(w, 0, c, r), (quantised ? da : a).at(1 + r, c));
      }
    }
  }
}

TEST_F(WeightLoaderTest, UnexpectedTensorsAreListed) {
  const Matrix m = matrix(2, 2, 1);
  write({tensor("a", "F32", m),
         tensor("a_scale_inv", "F32", m),
         tensor("extra", "F32", m),
         tensor("mtp.layers.0.w", "F32", m),
         make_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {1}, {1.0F})});
  add("a", 2, 2);
  EXPECT_THAT(loader().plan({"mtp."}).value().unexpected, ElementsAre("extra"));
  EXPECT_THAT(loader().plan({"mtp.", "extra"}).value().unexpected, IsEmpty());
}

TEST_F(WeightLoaderTest, MissingTensorsAreCountedAndListed) {
  write({tensor("a", "F32", matrix(2, 2, 1))});
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) {
    add(name, 2, 2);
  }
  expect_plan_error({dir_.path(), "lacks 6 of the tensors", "b, c, d, e, f, ..."});
}

TEST_F(WeightLoaderTest, AbsurdNumbersOfTensorsEndSoon) {
  write({tensor("a", "F32", matrix(2, 2, 1))});
  for (int layer = 0; layer < 4096; ++layer) {
    registry_.add({.name = fmt::format("l.{}", layer),
                   .sources = {{fmt::format("l.{}.e.{{}}.w", layer), 8, {0, 8}}},
                   .cols = 8,
                   .take_cols = {0, 8},
                   .groups = 1 << 20,
                   .take_groups = {0, 1 << 20}});
  }
  expect_plan_error({"lacks at least 1000 of the tensors", "l.0.e.0.w"});
}

TEST_F(WeightLoaderTest, WrongShapes) {
  write({tensor("a", "F32", matrix(2, 3, 1)), make_tensor("v", "F32", {3}, {1, 2, 3})});
  add("a", 3, 2);
  expect_plan_error(
      {dir_.file("model.safetensors"), "a: shape [2, 3], wanted [3, 2]", "transposed"});
  registry_.params().clear();
  add("a", 4, 3);
  expect_plan_error({"a: shape [2, 3], wanted [4, 3]", "does config.json belong"});
  registry_.params().clear();
  registry_.add({.name = "v", .sources = {{"v", 4, {0, 4}}}});
  expect_plan_error({"v: shape [3], wanted [4]"});
  registry_.params().clear();
  registry_.add({.name = "a", .sources = {{"a", 6, {0, 6}}}});
  expect_plan_error({"a: shape [2, 3], wanted [6]"});
}

TEST_F(WeightLoaderTest, WrongDTypes) {
  write({{"ints", "I64", {2, 2}, std::string(32, '\0')},
         {"doubles", "F64", {2, 2}, std::string(32, '\0')},
         tensor("lonely", "F8_E4M3", matrix(2, 2, 1))});
  quant_ = {.format = &kE4M3BlockWeights, .block = {128, 128}};
  add("ints", 2, 2);
  expect_plan_error({dir_.file("model.safetensors"), "ints: dtype I64, wanted F32, F16, BF16"});
  registry_.params().clear();
  add("doubles", 2, 2);
  expect_plan_error({"doubles: dtype F64, wanted"});
  registry_.params().clear();
  add("lonely", 2, 2);
  expect_plan_error(
      {"lonely: dtype F8_E4M3 needs lonely_scale_inv", "lonely_scale_inv is missing"});
}

TEST_F(WeightLoaderTest, ScalesThatDoNotFit) {
  quant_ = {.format = &kE4M3BlockWeights, .block = {2, 2}};
  const Matrix m = matrix(4, 4, 1);
  write({tensor("a", "F8_E4M3", m),
         tensor("a_scale_inv", "F32", matrix(1, 2, 1)),
         tensor("b", "F8_E4M3", m),
         {"b_scale_inv", "I32", {2, 2}, std::string(16, '\0')},
         make_tensor("v", "F8_E4M3", {4}, {1, 1, 1, 1}),
         make_tensor("v_scale_inv", "F32", {2}, {1, 1})});
  add("a", 4, 4);
  expect_plan_error({"a_scale_inv: shape [1, 2], wanted [2, 2]"});
  registry_.params().clear();
  add("b", 4, 4);
  expect_plan_error({"b_scale_inv: dtype I32, wanted F32"});
  registry_.params().clear();
  registry_.add({.name = "v", .sources = {{"v", 4, {0, 4}}}});
  expect_plan_error({"v: dtype F8_E4M3 needs"});
  registry_.params().clear();
  quant_ = {};
  add("a", 4, 4);
  expect_plan_error({"a: dtype F8_E4M3", "quantization_config is missing"});
}

TEST_F(WeightLoaderTest, ScalesMustBeFinite) {
  quant_ = {.format = &kE4M3BlockWeights, .block = {2, 2}};
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const bool fused_with_dense : {false, true}) {
      registry_.params().clear();
      const Matrix m = matrix(4, 4, 1);
      Matrix s = scales_of(m, quant_, 1);
      s.values[3] = bad;
      write({tensor("a", "F8_E4M3", m), tensor("a_scale_inv", "F32", s), tensor("b", "F32", m)});
      ParamSpec spec{.name = "p", .sources = {{"a", 4, {0, 4}}}, .cols = 4, .take_cols = {0, 4}};
      if (fused_with_dense) {
        spec.sources.push_back({"b", 4, {0, 4}});
      }
      registry_.add(std::move(spec));
      const Status status = loader().load(device_, upload_);
      EXPECT_EQ(status.code(), StatusCode::kCorrupt);
      EXPECT_THAT(status.message(), HasSubstr(dir_.file("model.safetensors")));
      EXPECT_THAT(status.message(), HasSubstr("a_scale_inv: scales [1, 1] is"));
      EXPECT_THAT(status.message(), HasSubstr("wanted a finite number"));
    }
  }
}

TEST_F(WeightLoaderTest, DummyWeightsNeedNoCheckpoint) {
  Param* w = add("w", 8, 16);
  Param* norm =
      registry_.add({.name = "norm", .sources = {{"norm", 8, {0, 8}}}, .dtype = DTypeRule::kF32});
  Param* constant = registry_.constant("c", {1.0F, 2.0F});
  WeightLoader weights(registry_, nullptr, {});
  ASSERT_TRUE(weights.plan({}).ok());
  ASSERT_TRUE(weights.load_dummy(device_, 7, upload_).ok());
  EXPECT_EQ(w->tensor().dtype(), DType::kBF16);
  EXPECT_EQ(norm->tensor().data<float>()[3], 1.0F);
  EXPECT_EQ(constant->tensor().data<float>()[1], 2.0F);
}

TEST_F(WeightLoaderTest, DummyWeightsDependOnTheSeedAlone) {
  const auto values = [this](uint64_t seed, const UploadOptions& upload) {
    registry_.params().clear();
    add("v", 13, 17);
    Param* w = add("w", 1031, 1021);  // longer than the period of the values
    Param* next = add("next", 1031, 1021);
    EXPECT_TRUE(WeightLoader(registry_, nullptr, {}).load_dummy(device_, seed, upload).ok());
    std::vector<uint16_t> bits;
    for (const Param* p : {w, next}) {
      for (int64_t i = 0; i < p->tensor().numel(); ++i) {
        bits.push_back(p->tensor().data<BF16>()[i].bits);
      }
    }
    return bits;
  };
  const std::vector<uint16_t> one = values(7, {});
  EXPECT_EQ(one, values(7, {.threads = 4, .piece_bytes = 320}));
  EXPECT_NE(one, values(8, {}));
  const auto half = one.begin() + ssize(one.size()) / 2;
  EXPECT_FALSE(std::equal(one.begin(), half, half)) << "two parameters are alike";
}

}  // namespace
}  // namespace tutti
