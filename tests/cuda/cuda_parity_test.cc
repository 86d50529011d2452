// Every op on the GPU against the reference, over all case lists: computing in f32, and in bf16 on
// inputs that bf16 holds. Then that equal batches give equal bits, and that a row of the simple
// kernels does not depend on its neighbours.
#include <cstring>

#include <gmock/gmock.h>

#include "cuda/cuda_testing.h"
#include "ops/cases_attention.h"
#include "ops/cases_linear.h"
#include "ops/cases_moe.h"
#include "ops/cases_rows.h"
#include "ops/cases_sampling.h"
#include "ops/expect_near.h"
#include "ops/ref/ref_ops.h"

namespace tutti::test {
namespace {

class CudaParity : public ::testing::Test {
 protected:
  void SetUp() override {
    TUTTI_NEEDS_GPU(backend);
    Result<std::unique_ptr<RankSet>> set = backend.make_ranks({.ranks = 1});
    ASSERT_TRUE(set.ok()) << set.status().message();
    cuda_ = std::make_unique<CudaTestBackend>(std::move(set).value());
  }

  // Fast attention kernels round probabilities to bf16 before they meet the values.
  static Tolerance bf16_tolerance(const OpCase& op_case) {
    Tolerance tolerance = in_bf16(op_case.tolerance);
    // The gated product rounds gate and up where it is made in two steps, heads are rounded
    // between their norm and their rotation.
    if (op_case.name.find("attention") != std::string::npos || op_case.name.starts_with("gated") ||
        op_case.name.starts_with("norm,") || op_case.name.starts_with("combined ")) {
      tolerance.relative += 0x1p-7;
    }
    // Products of two e4m3 matrices lose what is some 13 bits below the largest term of a sum: the
    // matrix units of Hopper keep about 14 bits there (DeepSeek-V3, arXiv:2412.19437, section
    // 3.3.2).
    if (op_case.name.find("F8_E4M3") != std::string::npos) {
      tolerance.relative += 0x1p-12;
    }
    return tolerance;
  }

  void expect_parity(const std::vector<OpCase>& cases) {
    for (const Compute compute : {Compute::kF32, Compute::kBf16}) {
      const bool bf16 = compute == Compute::kBf16;
      int failures = 0;
      for (const OpCase& op_case : cases) {
        SCOPED_TRACE(op_case.name + (bf16 ? " in bf16" : " in f32"));
        const std::vector<HostTensor> expected =
            run_case(op_case, ref_, bf16 ? Compute::kF32RoundedToBf16 : Compute::kF32);
        const std::vector<HostTensor> actual = run_case(op_case, *cuda_, compute);
        const std::vector<HostTensor> again = run_case(op_case, *cuda_, compute);
        cuda_->forget();
        bool good = true;
        for (size_t i = 0; i < expected.size(); ++i) {
          EXPECT_EQ(again[i].bytes(), actual[i].bytes()) << "a second run differs";
          const bool rounded = actual[i].dtype() == DType::kBF16;
          if (expected[i].dtype() == DType::kI32) {
            EXPECT_EQ(actual[i].ints(), expected[i].ints());
          } else {
            expect_near(actual[i].values(),
                        expected[i].values(),
                        rounded ? bf16_tolerance(op_case) : op_case.tolerance);
          }
          good = good && !HasFailure();
        }
        failures += good ? 0 : 1;
        if (HasFatalFailure() || failures > 3) {
          return;  // the first failing cases say enough
        }
      }
    }
  }

  TestBackend ref_{"ref", make_ref_ops()};
  std::unique_ptr<CudaTestBackend> cuda_;
};

TEST_F(CudaParity, Rows) {
  expect_parity(row_cases());
}

TEST_F(CudaParity, Sampling) {
  expect_parity(sampling_cases());
}

TEST_F(CudaParity, DenseLinear) {
  expect_parity(dense_linear_cases());
}

TEST_F(CudaParity, GatedLinear) {
  expect_parity(gated_linear_cases());
}

TEST_F(CudaParity, Experts) {
  expect_parity(expert_linear_cases());
}

TEST_F(CudaParity, QuantizedLinear) {
  expect_parity(quantized_linear_cases());
}

TEST_F(CudaParity, StackedLinear) {
  expect_parity(stacked_linear_cases());
}

TEST_F(CudaParity, Attention) {
  expect_parity(attention_cases());
}

TEST_F(CudaParity, MlaDecode) {
  expect_parity(mla_decode_cases());
}

TEST_F(CudaParity, MlaPrefill) {
  expect_parity(mla_prefill_cases());
}

TEST_F(CudaParity, Moe) {
  expect_parity(moe_cases());
}

// Shapes of real models, where libraries choose other algorithms than for small ones.
TEST_F(CudaParity, LargeLinear) {
  std::vector<OpCase> cases;
  for (const int64_t m : {1, 5, 64, 300}) {
    cases.push_back(
        linear_case({.dtype = DType::kBF16, .m = m, .n = 768, .k = 3584, .bias = true}));
    cases.push_back(
        linear_case({.dtype = DType::kF32, .m = m, .n = 256, .k = 1024, .f32_result = true}));
  }
  for (const int64_t m : {9, 33, 64, 100}) {
    for (const int64_t k : {272, 1552}) {
      const LinearShape shape{
          .dtype = DType::kF8E4M3, .m = m, .n = 264, .k = k, .exact_e4m3 = true};
      cases.push_back(linear_case(shape));
      cases.push_back(gated_linear_case(shape));
    }
  }
  cases.push_back(
      linear_case({.dtype = DType::kF8E4M3, .m = 20, .n = 2112, .k = 7168, .exact_e4m3 = true}));
  // Few outputs of long sums: blocks that share them. A router, and projections of DeepSeek-R1.
  for (const int64_t m : {1, 8, 11}) {
    cases.push_back(
        linear_case({.dtype = DType::kBF16, .m = m, .n = 256, .k = 7168, .f32_result = true}));
    cases.push_back(linear_case({.dtype = DType::kF8E4M3, .m = m, .n = 520, .k = 7168}));
    cases.push_back(linear_case({.dtype = DType::kF8E4M3, .m = m, .n = 2112, .k = 1552}));
    cases.push_back(gated_linear_case({.dtype = DType::kF8E4M3, .m = m, .n = 256, .k = 7168}));
    cases.push_back(linear_case({.dtype = DType::kBF16, .m = m, .n = 512, .k = 128, .heads = 16}));
    cases.push_back(linear_case({.dtype = DType::kBF16, .m = m, .n = 128, .k = 512, .heads = 16}));
  }
  expect_parity(cases);
}

// The promise of ops.h that the GPU keeps for its own kernels: a row's bits depend on that row
// alone. (Products that go to cuBLASLt do not: there the algorithm depends on the number of rows.)
TEST_F(CudaParity, RowsOfOwnProductsAreIndependent) {
  for (const Compute compute : {Compute::kF32, Compute::kBf16}) {
    for (const DType dtype : {DType::kF16, DType::kF8E4M3}) {
      const LinearShape shape{.dtype = dtype, .m = 70, .n = 53, .k = 300};
      const std::vector<float> all = run_case(linear_case(shape), *cuda_, compute).front().values();
      for (const int64_t rows : {1, 3, 65}) {
        LinearShape part = shape;
        part.m = rows;  // the generator gives the same first rows
        const std::vector<float> some =
            run_case(linear_case(part), *cuda_, compute).front().values();
        ASSERT_EQ(std::memcmp(some.data(), all.data(), some.size() * sizeof(float)), 0)
            << rows << " of 70 rows, " << dtype_name(dtype);
      }
    }
  }
}

TEST_F(CudaParity, AFailedLaunchNamesTheOp) {
  // More experts than the shared memory of a multiprocessor holds scores for.
  const OpCase op_case = moe_route_case({.tokens = 1, .experts = 100000, .params = {.top_k = 2}});
  try {
    run_case(op_case, *cuda_);
    FAIL() << "an impossible launch went unnoticed";
  } catch (const DeviceError& error) {
    EXPECT_THAT(error.what(), ::testing::StartsWith("moe_route: invalid argument (cudaError"));
  }
  // Nothing is left behind for the next op.
  expect_parity({add_case({3, 5}, 0)});
}

}  // namespace
}  // namespace tutti::test
