// Observed operations compute what the observed ones do, and their costs are those of the cases.
#include "ops/observed_ops.h"

#include <set>

#include <gtest/gtest.h>

#include "ops/cases_attention.h"
#include "ops/cases_linear.h"
#include "ops/cases_moe.h"
#include "ops/cases_rows.h"
#include "ops/null_ops.h"
#include "ops/ref/ref_ops.h"

namespace tutti::test {
namespace {

class Recorder final : public OpObserver {
 public:
  void begin() override { ++open_; }

  void end(OpCost cost) override {
    --open_;
    costs_.push_back(std::move(cost));
  }

  int open() const { return open_; }

  std::vector<OpCost> take() { return std::exchange(costs_, {}); }

 private:
  int open_ = 0;
  std::vector<OpCost> costs_;
};

std::vector<OpCase> all_cases() {
  std::vector<OpCase> cases;
  append(cases, row_cases());
  append(cases, dense_linear_cases());
  append(cases, gated_linear_cases());
  append(cases, quantized_linear_cases());
  append(cases, stacked_linear_cases());
  append(cases, attention_cases());
  append(cases, moe_cases());
  return cases;
}

TEST(ObservedOps, ResultsAreThoseOfTheOpsBehind) {
  TestBackend ref("ref", make_ref_ops());
  Recorder recorder;
  TestBackend observed("observed",
                       std::make_unique<ObservedOps>(ref.ops(), recorder, AttentionWork()));
  std::set<std::string> seen;
  for (const OpCase& op_case : all_cases()) {
    SCOPED_TRACE(op_case.name);
    const std::vector<HostTensor> expected = run_case(op_case, ref);
    const std::vector<HostTensor> actual = run_case(op_case, observed);
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(actual[i].bytes(), expected[i].bytes());
    }
    ASSERT_EQ(recorder.open(), 0);
    const std::vector<OpCost> costs = recorder.take();
    if (costs.empty()) {  // nothing to do, nobody called
      ASSERT_EQ(expected.front().shape().numel(), 0);
      continue;
    }
    for (const OpCost& cost : costs) {
      seen.insert(cost.op.substr(0, cost.op.find(' ')));
    }
  }
  EXPECT_GE(seen.size(), 20U) << "some operations were never called";
}

TEST(ObservedOps, CostsOfProducts) {
  TestBackend ref("ref", make_ref_ops());
  Recorder recorder;
  TestBackend observed("observed",
                       std::make_unique<ObservedOps>(ref.ops(), recorder, AttentionWork()));
  run_case(linear_case({.dtype = DType::kBF16, .m = 3, .n = 10, .k = 24, .bias = true}), observed);
  const OpCost linear = recorder.take().front();
  EXPECT_EQ(linear.op, "linear 10x24");
  EXPECT_EQ(linear.flops, 2 * 3 * 10 * 24);
  EXPECT_EQ(linear.bytes, 10 * 24 * 2 + (3 * 24 + 3 * 10 + 10) * 4);
}

// Two sequences of 5 and 7 keys with 2 and 1 queries: 12 keys, and 4 + 5 + 7 pairs.
TEST(ObservedOps, CostsOfAttentionComeFromItsWork) {
  NullOps ops;  // only shapes matter
  Recorder recorder;
  ObservedOps observed(ops, recorder, {.keys = 12, .pairs = 16});
  HostTensor out(DType::kF32, {3, 4, 8});
  HostTensor cache(DType::kF32, {4, 16, 16});
  HostTensor begin(DType::kI32, {3});
  HostTensor before(DType::kI32, {2});
  HostTensor table(DType::kI32, {2, 1});
  const HostTensor q = out;
  observed.attention(out.view(),
                     q.view(),
                     cache.view(),
                     cache.view(),
                     {.query_begin = begin.view(),
                      .context_before = before.view(),
                      .block_table = table.view(),
                      .block_size = 16,
                      .max_queries = 2,
                      .max_keys = 7},
                     1.0F);
  const OpCost cost = recorder.take().front();
  EXPECT_EQ(cost.op, "attention");
  EXPECT_EQ(cost.bytes, (2 * 3 * 4 * 8 + 12 * (16 + 16)) * 4);
  EXPECT_EQ(cost.flops, 2 * 16 * 4 * (8 + 8));
}

}  // namespace
}  // namespace tutti::test
