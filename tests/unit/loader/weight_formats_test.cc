// Formats of the table through loading, cutting, sizing and making up, by rows that only tests
// know.
#include "unit/base/weight_formats.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/cpu_device.h"
#include "loader/checkpoint.h"
#include "loader/weight_loader.h"
#include "unit/loader/checkpoint_files.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;
using testing::kI8RowWeights;
using testing::kU4GroupWeights;
using testing::make_tensor;
using testing::safetensors;
using testing::TempDir;
using testing::TestTensor;

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// Weight [r, c] of matrix `seed`, before its scale.
int code(int64_t r, int64_t c, int64_t seed, int codes) {
  return static_cast<int>((r * 31 + c * 7 + seed * 13) % codes) - codes / 2;
}

float i8_scale(int64_t r, int64_t seed) {
  return 0.5F + static_cast<float>(r + 100 * seed);
}

float i8_weight(int64_t r, int64_t c, int64_t seed) {
  return static_cast<float>(code(r, c, seed, 251)) * i8_scale(r, seed);
}

std::vector<TestTensor> i8_tensors(const std::string& name, int64_t rows, int64_t cols, int seed) {
  std::vector<int8_t> values;
  std::vector<float> scales;
  for (int64_t r = 0; r < rows; ++r) {
    scales.push_back(i8_scale(r, seed));
    for (int64_t c = 0; c < cols; ++c) {
      values.push_back(static_cast<int8_t>(code(r, c, seed, 251)));
    }
  }
  return {{name, "I8", {rows, cols}, bytes_of(values)},
          make_tensor(name + "_scale", "F32", {rows, 1}, scales)};
}

float u4_scale(int64_t r, int64_t group) {
  return static_cast<float>(1 + r * 4 + group);
}

float u4_weight(int64_t r, int64_t c, int64_t seed) {
  return static_cast<float>(code(r, c, seed, 16)) * u4_scale(r, c / 16);
}

std::vector<TestTensor> u4_tensors(const std::string& name, int64_t rows, int64_t cols, int seed) {
  std::vector<uint32_t> words(usize(rows * cols / 8));
  std::vector<float> scales;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      words[usize((r * cols + c) / 8)] |= static_cast<uint32_t>(code(r, c, seed, 16) + 8)
                                          << (4 * (c % 8));
    }
    for (int64_t g = 0; g < cols / 16; ++g) {
      scales.push_back(u4_scale(r, g));
    }
  }
  return {{name + "_packed", "I32", {rows, cols / 8}, bytes_of(words)},
          make_tensor(name + "_scale", "F16", {rows, cols / 16}, scales)};
}

class WeightFormatsTest : public ::testing::Test {
 protected:
  void write(std::initializer_list<std::vector<TestTensor>> tensors) {
    std::vector<TestTensor> all;
    for (const auto& some : tensors) {
      all.insert(all.end(), some.begin(), some.end());
    }
    dir_.write("model.safetensors", safetensors(all, /*padding=*/3));
    tensors_ = Checkpoint::open(dir_.path()).value();
  }

  void load() {
    WeightLoader loader(registry_, tensors_.get(), quant_);
    const Result<LoadPlan> plan = loader.plan({});
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    EXPECT_TRUE(plan->unexpected.empty());
    const Status status = loader.load(device_, {.threads = 2, .piece_bytes = 64});
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(loader.read_bytes(), plan->read_bytes);
    EXPECT_EQ(loaded_bytes(), plan->weight_bytes);
  }

  int64_t loaded_bytes() const {
    int64_t bytes = 0;
    for (const Param& param : registry_.params()) {
      bytes += param.bytes();
    }
    return bytes;
  }

  // Row n of group g, by the format's own dequantise().
  static std::vector<float> row(const Param& param, int64_t g, int64_t n) {
    const WeightView w = param.weight();
    std::vector<float> out(usize(w.cols()));
    w.format().dequantise(w.row(g, n), w.cols(), out.data());
    return out;
  }

  TempDir dir_;
  CpuDevice device_;
  ParamRegistry registry_;
  QuantConfig quant_;
  std::unique_ptr<TensorSource> tensors_;
};

TEST_F(WeightFormatsTest, ScalesPerRow) {
  quant_.format = &kI8RowWeights;
  write({i8_tensors("a", 6, 40, 1), i8_tensors("b", 5, 40, 2)});
  const Param* p = registry_.add({.name = "ab",
                                  .sources = {{"a", 6, {1, 3}}, {"b", 5, {2, 2}}},
                                  .cols = 40,
                                  .take_cols = {13, 21}});
  load();
  EXPECT_EQ(p->layout().cells[1], (WeightCell{1, kWholeSide}));
  EXPECT_EQ(p->bytes(), 5 * 21 + 5 * 4);
  for (int64_t n = 0; n < 5; ++n) {
    const std::vector<float> got = row(*p, 0, n);
    for (int64_t k = 0; k < 21; ++k) {
      const float want = n < 3 ? i8_weight(1 + n, 13 + k, 1) : i8_weight(n - 1, 13 + k, 2);
      ASSERT_EQ(got[usize(k)], want) << n << " " << k;
    }
  }
}

TEST_F(WeightFormatsTest, PackedGroupsOfStackedWeights) {
  quant_.format = &kU4GroupWeights;
  write({u4_tensors("e.0.w", 4, 96, 1), u4_tensors("e.1.w", 4, 96, 2)});
  const Param* p = registry_.add({.name = "e",
                                  .sources = {{"e.{}.w", 4, {1, 3}}},
                                  .cols = 96,
                                  .take_cols = {32, 48},
                                  .groups = 2,
                                  .take_groups = {0, 2}});
  load();
  EXPECT_EQ(p->bytes(), 2 * 3 * (48 / 2 + 48 / 16 * 2));
  for (int64_t g = 0; g < 2; ++g) {
    for (int64_t n = 0; n < 3; ++n) {
      const std::vector<float> got = row(*p, g, n);
      for (int64_t k = 0; k < 48; ++k) {
        ASSERT_EQ(got[usize(k)], u4_weight(1 + n, 32 + k, 1 + g)) << g << " " << n << " " << k;
      }
    }
  }
}

TEST_F(WeightFormatsTest, NoCutWithinAGroup) {
  quant_.format = &kU4GroupWeights;
  write({u4_tensors("w", 4, 96, 1)});
  for (const Range cols : {Range{0, 40}, Range{8, 16}, Range{16, 20}, Range{32, 63}}) {
    registry_.params().clear();
    registry_.add({.name = "w", .sources = {{"w", 4, {0, 4}}}, .cols = 96, .take_cols = cols});
    const Status made_up = WeightLoader(registry_, nullptr, quant_).plan({}).status();
    for (const Status& status :
         {WeightLoader(registry_, tensors_.get(), quant_).plan({}).status(), made_up}) {
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
      EXPECT_THAT(status.message(),
                  HasSubstr(fmt::format("w: columns {} to {} of 96", cols.begin, cols.end())));
      EXPECT_THAT(status.message(), HasSubstr("U4 groups of 16 weights cannot be cut within"));
      EXPECT_THAT(status.message(), HasSubstr("use another number of ranks"));
    }
  }
}

// Weights of two formats in one matrix, and lookup tables.
TEST_F(WeightFormatsTest, WidenedToF32) {
  quant_.format = &kU4GroupWeights;
  std::vector<float> dense(usize(2 * 96));
  for (size_t i = 0; i < dense.size(); ++i) {
    dense[i] = static_cast<float>(i);
  }
  write({u4_tensors("a", 50, 96, 1), {make_tensor("b", "BF16", {2, 96}, dense)}});
  const Range cols{5, 70};  // cuts words and groups, which a copy in f32 does not mind
  const Param* p = registry_.add({.name = "ab",
                                  .sources = {{"a", 50, {3, 40}}, {"b", 2, {0, 2}}},
                                  .cols = 96,
                                  .take_cols = cols});
  const Param* table = registry_.add({.name = "table",
                                      .sources = {{"a", 50, {0, 50}}},
                                      .cols = 96,
                                      .take_cols = {0, 96},
                                      .dtype = DTypeRule::kDense});
  load();
  EXPECT_EQ(p->layout().format, &kF32Weights);
  for (int64_t n = 0; n < 42; ++n) {
    for (int64_t k = 0; k < cols.count; ++k) {
      const float want = n < 40 ? u4_weight(3 + n, cols.begin + k, 1)
                                : dense[usize((n - 40) * 96 + cols.begin + k)];
      ASSERT_EQ(p->tensor().data<float>()[n * cols.count + k], want) << n << " " << k;
    }
  }
  for (int64_t n = 0; n < 50; ++n) {
    for (int64_t k = 0; k < 96; ++k) {
      ASSERT_EQ(table->tensor().data<float>()[n * 96 + k], u4_weight(n, k, 1)) << n << " " << k;
    }
  }
}

TEST_F(WeightFormatsTest, DerivedFromAnyFormatInTheTypeAskedFor) {
  quant_.format = &kI8RowWeights;
  write({i8_tensors("a", 3, 4, 1)});
  Param* source =
      registry_.add({.name = "a", .sources = {{"a", 3, {0, 3}}}, .cols = 4, .take_cols = {0, 4}});
  Derivation copy;
  copy.outputs = {{"copy", {3, 4}}};
  copy.compute = [](ConstTensorView from, const std::vector<TensorView>& to) {
    std::copy_n(from.data<float>(), 12, to[0].data<float>());
  };
  const Param* derived = registry_.derive(source, std::move(copy)).front();
  WeightLoader loader(registry_, tensors_.get(), quant_, {.derived = DType::kBF16});
  EXPECT_EQ(loader.plan({})->weight_bytes, 3 * 4 * 2);
  ASSERT_TRUE(loader.load(device_, {}).ok());
  EXPECT_EQ(loaded_bytes(), 3 * 4 * 2);
  for (int64_t i = 0; i < 12; ++i) {
    EXPECT_EQ(derived->tensor().data<BF16>()[i].bits, to_bf16(i8_weight(i / 4, i % 4, 1)).bits);
  }
}

TEST_F(WeightFormatsTest, MissingAndMisshapenPlanes) {
  quant_.format = &kU4GroupWeights;
  std::vector<TestTensor> w = u4_tensors("w", 4, 96, 1);
  const auto message = [&] {
    registry_.params().clear();
    registry_.add({.name = "w", .sources = {{"w", 4, {0, 4}}}, .cols = 96, .take_cols = {0, 96}});
    return WeightLoader(registry_, tensors_.get(), quant_).plan({}).status().message();
  };
  write({{w[0]}});
  EXPECT_THAT(message(), HasSubstr("w_packed: dtype I32 needs w_scale"));
  write({{w[1]}});
  EXPECT_THAT(message(), HasSubstr("lacks 1 of the tensors that config.json implies: w;"));
  w[1].dims = {6, 4};
  write({w});
  EXPECT_THAT(message(), HasSubstr("w_scale: shape [6, 4], wanted [4, 6]"));
  w = u4_tensors("w", 4, 96, 1);
  w[1].dtype = "BF16";  // this format's scales are not converted
  write({w});
  EXPECT_THAT(message(), HasSubstr("w_scale: dtype BF16, wanted F16"));
}

// What config.json says of quantisation holds for made-up weights.
TEST_F(WeightFormatsTest, MadeUpWeightsFollowTheConfiguration) {
  for (const WeightFormat* format : {&kE4M3BlockWeights, &kI8RowWeights, &kU4GroupWeights}) {
    SCOPED_TRACE(format->name);
    quant_ = {.format = format, .block = {16, 32}, .not_converted = {"head"}};
    registry_.params().clear();
    const auto matrix = [](const std::string& name) {
      return ParamSpec{
          .name = name, .sources = {{name, 256, {0, 256}}}, .cols = 128, .take_cols = {0, 128}};
    };
    const Param* w = registry_.add(matrix("w"));
    ParamSpec gate = matrix("gate");
    gate.usually_dense = true;
    const Param* router = registry_.add(gate);
    const Param* head = registry_.add(matrix("head.weight"));
    ParamSpec lookup = matrix("table");
    lookup.dtype = DTypeRule::kDense;
    const Param* table = registry_.add(lookup);
    const Param* norm = registry_.add({.name = "norm", .sources = {{"norm", 8, {0, 8}}}});
    WeightLoader loader(registry_, nullptr, quant_, {.made_up = DType::kF16});
    const LoadPlan plan = loader.plan({}).value();
    EXPECT_EQ(w->layout().format, format) << "known before anything is loaded";
    ASSERT_TRUE(loader.load_dummy(device_, 7, {.threads = 2, .piece_bytes = 640}).ok());
    EXPECT_EQ(loaded_bytes(), plan.weight_bytes);
    EXPECT_LT(w->bytes(), 256 * 128 * 5 / 4) << "one byte each or less, and scales";
    for (const Param* dense : {router, head, table, norm}) {
      EXPECT_EQ(dense->tensor().dtype(), DType::kF16) << dense->spec().name;
    }
    double squares = 0;
    for (int64_t n = 0; n < 256; ++n) {
      for (const float value : row(*w, 0, n)) {
        squares += static_cast<double>(value) * value;
      }
    }
    // Uniform within 1 / sqrt(128), scales of about 3/4: a third of the square of that.
    const double rms = std::sqrt(squares / (256 * 128)) * std::sqrt(128.0);
    EXPECT_GT(rms, 0.3);
    EXPECT_LT(rms, 0.65);
  }
}

}  // namespace
}  // namespace tutti
