// Every CPU kernel set this machine can run, against the reference, over all case lists.
#include <gtest/gtest.h>

#include "ops/cases_attention.h"
#include "ops/cases_linear.h"
#include "ops/cases_moe.h"
#include "ops/cases_rows.h"
#include "ops/cases_sampling.h"
#include "ops/cpu_backends.h"
#include "ops/expect_near.h"

namespace tutti::test {
namespace {

void expect_same(const HostTensor& actual, const HostTensor& expected, Tolerance tolerance) {
  if (expected.dtype() == DType::kI32) {
    EXPECT_EQ(actual.ints(), expected.ints());
  } else {
    expect_near(actual.values(), expected.values(), tolerance);
  }
}

void expect_parity(const std::vector<OpCase>& cases) {
  TestBackend ref("ref", make_ref_ops());
  std::vector<std::unique_ptr<TestBackend>> backends = cpu_backends();
  for (const OpCase& op_case : cases) {
    const std::vector<HostTensor> expected = run_case(op_case, ref);
    for (const auto& backend : backends) {
      SCOPED_TRACE(op_case.name + " on " + backend->name());
      const std::vector<HostTensor> actual = run_case(op_case, *backend);
      for (size_t i = 0; i < expected.size(); ++i) {
        expect_same(actual[i], expected[i], op_case.tolerance);
      }
      if (testing::Test::HasFailure()) {
        return;  // the first failing case says enough
      }
    }
  }
}

TEST(Parity, DenseLinear) {
  expect_parity(dense_linear_cases());
}

TEST(Parity, QuantizedLinear) {
  expect_parity(quantized_linear_cases());
}

TEST(Parity, StackedLinear) {
  expect_parity(stacked_linear_cases());
}

TEST(Parity, GatedLinear) {
  expect_parity(gated_linear_cases());
}

TEST(Parity, ExpertLinear) {
  expect_parity(expert_linear_cases(/*most_rows=*/40));
}

TEST(Parity, Rows) {
  expect_parity(row_cases());
}

TEST(Parity, Sampling) {
  expect_parity(sampling_cases());
}

TEST(Parity, Attention) {
  expect_parity(attention_cases());
}

TEST(Parity, Moe) {
  expect_parity(moe_cases());
}

}  // namespace
}  // namespace tutti::test
