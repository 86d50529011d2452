#include "tensor/tensor_view.h"

#include <numeric>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

namespace tutti {
namespace {

class TensorViewTest : public ::testing::Test {
 protected:
  TensorViewTest() : values_(24) {
    std::iota(values_.begin(), values_.end(), 0.0F);
    old_ = set_check_handler([](const std::string& m) { throw std::logic_error(m); });
  }

  ~TensorViewTest() override { set_check_handler(old_); }

  TensorView view(const Shape& shape) { return {values_.data(), DType::kF32, shape}; }

  std::vector<float> values_;
  CheckHandler old_;
};

float first(ConstTensorView v) {
  return *v.data<float>();
}

TEST_F(TensorViewTest, RowMajorStrides) {
  const TensorView v = view({2, 3, 4});
  EXPECT_EQ(v.strides(), (Shape{12, 4, 1}));
  EXPECT_EQ(v.numel(), 24);
  EXPECT_EQ(v.bytes(), 96);
  EXPECT_EQ(v.dim(-1), 4);
  EXPECT_EQ(v.dim(-3), 2);
  EXPECT_EQ(v.stride(-2), 4);
  EXPECT_TRUE(v.contiguous());
  EXPECT_FALSE(TensorView().defined());
}

TEST_F(TensorViewTest, SliceMovesThePointerAndKeepsTheStrides) {
  const TensorView v = view({2, 3, 4});
  const TensorView columns = v.slice(2, 1, 2);
  EXPECT_EQ(columns.shape(), (Shape{2, 3, 2}));
  EXPECT_EQ(columns.strides(), v.strides());
  EXPECT_EQ(first(columns), 1.0F);
  EXPECT_FALSE(columns.contiguous());
  const TensorView rows = v.slice(1, 2, 1);
  EXPECT_EQ(first(rows), 8.0F);
  EXPECT_FALSE(rows.contiguous());
  EXPECT_TRUE(v.slice(0, 1, 1).contiguous());
  EXPECT_EQ(first(v.slice(0, 1, 1)), 12.0F);
  EXPECT_EQ(v.slice(1, 3, 0).numel(), 0) << "empty at the end";
  EXPECT_EQ(first(columns.slice(1, 1, 1).slice(2, 1, 1)), 6.0F);
}

TEST_F(TensorViewTest, AtDropsTheFirstDimension) {
  const TensorView v = view({2, 3, 4});
  EXPECT_EQ(v.at(1).shape(), (Shape{3, 4}));
  EXPECT_EQ(first(v.at(1)), 12.0F);
  EXPECT_EQ(first(v.at(1).at(2).at(3)), 23.0F);
  EXPECT_EQ(v.at(0).at(0).at(0).rank(), 0);
  EXPECT_EQ(first(v.slice(2, 1, 2).at(1).at(1)), 17.0F);
}

TEST_F(TensorViewTest, ContiguityIgnoresDimensionsOfOne) {
  const TensorView v(values_.data(), DType::kF32, {1, 4}, {100, 1});
  EXPECT_TRUE(v.contiguous());
  EXPECT_EQ(v.reshape({2, 2}).strides(), (Shape{2, 1}));
}

TEST_F(TensorViewTest, ReshapeAndMisuse) {
  const TensorView v = view({2, 3, 4});
  EXPECT_EQ(v.reshape({6, 4}).shape(), (Shape{6, 4}));
  EXPECT_THROW(v.reshape({5, 5}), std::logic_error);
  EXPECT_THROW(v.slice(2, 0, 2).reshape({12}), std::logic_error);
  EXPECT_THROW(v.slice(1, 2, 2), std::logic_error);
  EXPECT_THROW(v.slice(1, -1, 1), std::logic_error);
  EXPECT_THROW(v.slice(1, 0, -1), std::logic_error);
  EXPECT_THROW(v.at(2), std::logic_error);
  EXPECT_THROW(v.at(-1), std::logic_error);
  EXPECT_THROW(v.data<int32_t>(), std::logic_error) << "wrong element type";
  EXPECT_THROW((Shape{1, 2, 3, 4, 5, 6}), std::logic_error) << "rank above the maximum";
}

TEST_F(TensorViewTest, OffsetsCountElementsOfTheDType) {
  std::vector<uint16_t> halves(8);
  const ConstTensorView v(halves.data(), DType::kBF16, {2, 4});
  EXPECT_EQ(v.at(1).slice(0, 2, 1).raw(), halves.data() + 6);
  EXPECT_EQ(v.bytes(), 16);
}

TEST_F(TensorViewTest, Shapes) {
  EXPECT_EQ((Shape{4096, 11008}).to_string(), "[4096, 11008]");
  EXPECT_EQ(Shape().to_string(), "[]");
  EXPECT_EQ(Shape().numel(), 1);
  EXPECT_EQ((Shape{3, 0}).numel(), 0);
  EXPECT_FALSE((Shape{1}) == (Shape{1, 1}));
}

}  // namespace
}  // namespace tutti
