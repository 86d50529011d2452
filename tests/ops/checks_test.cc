// The checked front: what a caller may not pass, and what it may.
#include <stdexcept>

#include <gtest/gtest.h>

#include "ops/cases_rows.h"
#include "ops/null_ops.h"
#include "ops/ref/ref_ops.h"

namespace tutti::test {
namespace {

[[noreturn]] void throw_message(const std::string& message) {
  throw std::runtime_error(message);
}

class ChecksTest : public testing::Test {
 protected:
  ChecksTest() : old_(set_check_handler(throw_message)) {}

  ~ChecksTest() override { set_check_handler(old_); }

  template <class Call>
  static std::string message_of(const Call& call) {
    try {
      call();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }

  std::unique_ptr<Ops> ops_ = make_ref_ops();
  HostTensor x_ = normal({2, 8}, 1);
  HostTensor y_{DType::kF32, {2, 4}};
  HostTensor w_ = normal({4, 8}, 2);
  CheckHandler old_;
};

TEST_F(ChecksTest, NamesTheArgumentAndBothShapes) {
  HostTensor wrong(DType::kF32, {3, 4});
  const std::string message =
      message_of([&] { ops_->linear(wrong.view(), x_.view(), WeightView::dense(w_.view()), {}); });
  EXPECT_NE(message.find("y is [3, 4], wanted [2, 4]"), std::string::npos) << message;
  EXPECT_NE(message.find("linear"), std::string::npos) << message;
}

TEST_F(ChecksTest, Dtypes) {
  HostTensor half(DType::kF16, {2, 8});
  EXPECT_NE(
      message_of([&] { ops_->linear(y_.view(), half.view(), WeightView::dense(w_.view()), {}); }),
      "");
  HostTensor fp8(DType::kF8E4M3, {4, 8});  // without scales
  EXPECT_NE(message_of([&] { WeightView::dense(fp8.view()); }), "");
  HostTensor ids(DType::kF32, {2});
  EXPECT_NE(message_of([&] { ops_->embedding(x_.view(), w_.view(), ids.view(), 0); }), "");
}

TEST_F(ChecksTest, QuantizedWeights) {
  HostTensor fp8(DType::kF8E4M3, {4, 8});
  HostTensor scales(DType::kF32, {1, 2});
  WeightView w = WeightView::e4m3_blocks(fp8.view(), scales.view(), {4, 4});
  EXPECT_EQ(message_of([&] { ops_->linear(y_.view(), x_.view(), w, {}); }), "");
  w.layout.cells[1] = {4, 3};  // needs a third column of scales
  EXPECT_NE(message_of([&] {
              ops_->linear(y_.view(), x_.view(), w, {});
            }).find("scales is [1, 2], wanted [1, 3]"),
            std::string::npos);
  w.layout.cells[1] = {3, 4};
  EXPECT_NE(message_of([&] { ops_->linear(y_.view(), x_.view(), w, {}); }), "");
  w.layout.cells[1] = {4, 4};
  w.planes[1] = {};
  EXPECT_NE(message_of([&] { ops_->linear(y_.view(), x_.view(), w, {}); }), "");
  EXPECT_NE(message_of([&] { ops_->linear(y_.view(), x_.view(), WeightView(), {}); }), "");
}

TEST_F(ChecksTest, OneComputeTypePerCall) {
  NullOps ops;
  HostTensor bx(DType::kBF16, {2, 8});
  HostTensor by(DType::kBF16, {2, 4});
  HostTensor norm_weight = normal({8}, 3);
  const WeightView w = WeightView::dense(w_.view());
  EXPECT_EQ(message_of([&] { ops.linear(by.view(), bx.view(), w, {}); }), "");
  EXPECT_EQ(message_of([&] { ops.linear(y_.view(), bx.view(), w, {}); }), "") << "f32 logits";
  EXPECT_NE(message_of([&] { ops.linear(by.view(), x_.view(), w, {}); }).find("y is BF16"),
            std::string::npos);
  EXPECT_EQ(message_of([&] { ops.add(x_.view(), bx.view()); }), "") << "onto the residual stream";
  EXPECT_NE(message_of([&] { ops.add(bx.view(), x_.view()); }), "");
  EXPECT_EQ(
      message_of([&] { ops.add_rms_norm(bx.view(), x_.view(), bx.view(), norm_weight.view(), 0); }),
      "");
  EXPECT_EQ(message_of([&] { ops.rms_norm(bx.view(), x_.view(), norm_weight.view(), 0); }), "");
  EXPECT_NE(message_of([&] { ops.rms_norm(x_.view(), bx.view(), norm_weight.view(), 0); }), "");
  EXPECT_NE(message_of([&] { ops.silu_mul(bx.view(), bx.view(), x_.view()); }), "");
  HostTensor cache = normal({1, 4, 8}, 4);
  const HostTensor slots = ints({0, 1});
  EXPECT_NE(message_of([&] { ops.write_kv(cache.view(), bx.view(), slots.view()); }), "");
  HostTensor half(DType::kF16, {2, 8});
  EXPECT_NE(message_of([&] { ops.silu_mul(half.view(), half.view(), half.view()); }), "");
}

TEST_F(ChecksTest, ReferenceComputesInF32Only) {
  EXPECT_TRUE(ops_->check_compute(DType::kF32).ok());
  EXPECT_EQ(ops_->check_compute(DType::kBF16).message(),
            "the ref operations compute in f32, not in BF16");
}

TEST_F(ChecksTest, LastDimensionMustBeContiguous) {
  const TensorView columns{x_.view().raw(), DType::kF32, {2, 4}, {8, 2}};
  EXPECT_NE(message_of([&] { ops_->add(y_.view(), columns); }), "");
}

TEST_F(ChecksTest, Router) {
  HostTensor experts(DType::kI32, {2, 3});
  HostTensor weights(DType::kF32, {2, 3});
  const auto route = [&](const RouterParams& params) {
    return message_of([&] {
      ops_->moe_route(experts.view(), weights.view(), x_.view(), ConstTensorView{}, params);
    });
  };
  EXPECT_EQ(route({.top_k = 3}), "");
  EXPECT_NE(route({.top_k = 2}), "");                                    // outputs hold 3
  EXPECT_NE(route({.top_k = 3, .num_groups = 3}), "");                   // 8 is not 3 groups
  EXPECT_NE(route({.top_k = 3, .num_groups = 4, .top_groups = 1}), "");  // 2 experts remain
  EXPECT_NE(route({.top_k = 3, .num_groups = 2, .top_groups = 3}), "");
}

TEST_F(ChecksTest, HeadsMustDivide) {
  HostTensor q = normal({1, 3, 4}, 1);
  HostTensor cache = normal({1, 1, 8}, 2);  // 2 KV heads of width 4
  HostTensor out(DType::kF32, {1, 3, 4});
  const HostTensor begin = ints({0, 1});
  const HostTensor zero = ints({0});
  const HostTensor blocks(DType::kI32, {1, 1});
  const AttentionBatch batch{begin.view(), zero.view(), blocks.view(), 1};
  EXPECT_NE(message_of([&] {
              ops_->attention(out.view(), q.view(), cache.view(), cache.view(), batch, 1.0F);
            }),
            "");
}

}  // namespace
}  // namespace tutti::test
