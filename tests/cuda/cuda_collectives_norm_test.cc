// The fused sum, residual and norm: the residual to the bit, the norm beside a reference in double.
#include <cmath>
#include <random>

#include "cuda/peer_world.h"

namespace tutti::test {
namespace {

struct NormCase {
  DType type;
  int64_t rows;
  int64_t width;
  int64_t gap;  ///< elements between two rows of y and of the residual
};

/// Of a case: inputs of all ranks, and what every rank must hold.
class NormProblem {
 public:
  NormProblem(const NormCase& c, int ranks, uint64_t seed) : c_(c), seed_(seed) {
    for (int64_t i = 0; i < c.width; ++i) {
      weight_.push_back(element(seed, 100, i));
    }
    std::vector<float> sums(usize(c.rows * c.width));
    for (int64_t i = 0; i < c.rows * c.width; ++i) {
      float all = part(0, i);
      for (int rank = 1; rank < ranks; ++rank) {
        all += part(rank, i);
      }
      sums[usize(i)] = all;
    }
    residual_.resize(usize(c.rows * stride()));
    residual_after_.resize(residual_.size());
    y_.resize(residual_.size());
    for (int64_t row = 0; row < c.rows; ++row) {
      double squares = 0;
      for (int64_t i = 0; i < stride(); ++i) {
        const int64_t at = row * stride() + i;
        residual_[usize(at)] = element(seed, 101, at);
        residual_after_[usize(at)] = residual_[usize(at)];
        if (i < c.width) {
          residual_after_[usize(at)] += sums[usize(row * c.width + i)];
          squares += std::pow(static_cast<double>(residual_after_[usize(at)]), 2);
        }
      }
      const double scale = 1.0 / std::sqrt(squares / static_cast<double>(c.width) + kEps);
      for (int64_t i = 0; i < c.width; ++i) {
        const int64_t at = row * stride() + i;
        y_[usize(at)] = static_cast<double>(residual_after_[usize(at)]) * scale *
                        static_cast<double>(weight_[usize(i)]);
      }
    }
  }

  static constexpr float kEps = 1e-5F;

  int64_t stride() const { return c_.width + c_.gap; }

  float part(int rank, int64_t i) const {
    const float value = element(seed_, rank, i);
    return c_.type == DType::kF32 ? value : to_float(to_bf16(value));
  }

  /// This rank's part of the sum.
  Bytes x(int rank) const {
    return input_of({.type = c_.type, .widths = {c_.rows * c_.width}, .seed = seed_}, rank);
  }

  const std::vector<float>& weight() const { return weight_; }

  const std::vector<float>& residual() const { return residual_; }

  const std::vector<float>& residual_after() const { return residual_after_; }

  const std::vector<double>& y() const { return y_; }

 private:
  NormCase c_;
  uint64_t seed_;
  std::vector<float> weight_;
  std::vector<float> residual_;
  std::vector<float> residual_after_;
  std::vector<double> y_;
};

Bytes bytes_of(const std::vector<float>& values) {
  Bytes bytes(values.size() * 4);
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// Where a rank's tensors lie in its buffers: x, weight, y in one, the residual in the other.
struct NormViews {
  TensorView x;
  TensorView weight;
  TensorView y;
  TensorView residual;

  NormViews(PeerWorld& ranks, int r, const NormCase& c) {
    auto* at = static_cast<std::byte*>(ranks.rank(r).x.data());
    const int64_t size = dtype_size(c.type);
    x = {at, c.type, {c.rows, c.width}};
    at += (x.bytes() + 255) / 256 * 256;
    weight = {at, DType::kF32, {c.width}};
    at += (weight.bytes() + 255) / 256 * 256;
    y = {at, c.type, {c.rows, c.width}, {c.width + c.gap, 1}};
    y_bytes = c.rows * (c.width + c.gap) * size;
    residual = {ranks.rank(r).out.data(), DType::kF32, {c.rows, c.width}, {c.width + c.gap, 1}};
  }

  int64_t y_bytes = 0;
};

class CudaCollectivesNorm : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!nvidia_device_present("/")) {
      GTEST_SKIP() << "this machine shows no NVIDIA GPU";
    }
  }

  static void upload(PeerWorld& ranks, int r, const NormViews& views, const NormProblem& problem) {
    ranks.upload_to(r, views.x.raw(), problem.x(r));
    ranks.upload_to(r, views.weight.raw(), bytes_of(problem.weight()));
    ranks.upload_to(r, views.residual.raw(), bytes_of(problem.residual()));
  }

  // Returns y, for comparing ranks.
  static Bytes compare(
      PeerWorld& ranks, int r, const NormCase& c, const NormViews& v, const NormProblem& problem) {
    const int64_t count = c.rows * problem.stride();
    EXPECT_EQ(ranks.download(r, v.residual.raw(), count * 4), bytes_of(problem.residual_after()))
        << "rank " << r;
    const Bytes y = ranks.download(r, v.y.raw(), v.y_bytes);
    const double tolerance = c.type == DType::kF32 ? 5e-6 : 0x1p-8;
    for (int64_t row = 0; row < c.rows; ++row) {
      for (int64_t i = 0; i < c.width; ++i) {
        const int64_t at = row * problem.stride() + i;
        float got = 0;
        if (c.type == DType::kF32) {
          std::memcpy(&got, y.data() + at * 4, 4);
        } else {
          BF16 bits;
          std::memcpy(&bits, y.data() + at * 2, 2);
          got = to_float(bits);
        }
        const double want = problem.y()[usize(at)];
        EXPECT_NEAR(static_cast<double>(got), want, tolerance * std::abs(want) + 1e-30)
            << "rank " << r << ", row " << row << ", column " << i;
        if (HasFailure()) {
          return y;
        }
      }
    }
    return y;
  }
};

INSTANTIATE_TEST_SUITE_P(Groups, CudaCollectivesNorm, ::testing::Values(2, 3, 4, 8));

TEST_P(CudaCollectivesNorm, ResidualToTheBit) {
  PeerWorld ranks({.ranks = GetParam(), .buffer_bytes = int64_t{4} << 20});
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  for (const DType type : {DType::kBF16, DType::kF32}) {
    for (const NormCase& c : {NormCase{type, 1, 4, 0},
                              NormCase{type, 1, 64, 0},
                              NormCase{type, 3, 100, 1},
                              NormCase{type, 1, 3584, 0},
                              NormCase{type, 1, 7168, 0},
                              NormCase{type, 5, 2048, 4},
                              NormCase{type, 2, 16384, 0},    // more than registers hold
                              NormCase{type, 40, 512, 2}}) {  // more rows than blocks
      SCOPED_TRACE(fmt::format("{} rows of {} {}", c.rows, c.width, dtype_name(type)));
      const NormProblem problem(c, ranks.size(), seed);
      std::vector<Bytes> y(static_cast<size_t>(ranks.size()));
      ranks.run([&](int r) {
        const NormViews v(ranks, r, c);
        upload(ranks, r, v, problem);
        EXPECT_TRUE(ranks.rank(r).comm->all_reduce_add_rms_norm({.y = v.y,
                                                                 .residual = v.residual,
                                                                 .x = v.x,
                                                                 .weight = v.weight,
                                                                 .eps = NormProblem::kEps}));
        y[usize(r)] = compare(ranks, r, c, v, problem);
      });
      if (c.gap == 0) {
        for (const Bytes& other : y) {
          EXPECT_EQ(other, y[0]);
        }
      }
      if (HasFailure()) {
        return;
      }
    }
  }
}

TEST_P(CudaCollectivesNorm, RefusesWhatItDoesNotTake) {
  PeerWorld ranks({.ranks = GetParam(), .buffer_bytes = int64_t{4} << 20});
  for (const NormCase& c :
       {NormCase{DType::kBF16, 2, 66, 0}, NormCase{DType::kBF16, 64, 7168, 0}}) {
    ranks.run([&](int r) {
      const NormViews v(ranks, r, c);
      EXPECT_FALSE(ranks.rank(r).comm->all_reduce_add_rms_norm(
          {.y = v.y, .residual = v.residual, .x = v.x, .weight = v.weight, .eps = 1e-5F}));
    });
  }
}

// For compute-sanitizer.
TEST_P(CudaCollectivesNorm, OneLaunch) {
  PeerWorld ranks({.ranks = GetParam(), .buffer_bytes = int64_t{1} << 20});
  for (const NormCase& c : {NormCase{DType::kBF16, 3, 2048, 4}, NormCase{DType::kF32, 2, 100, 1}}) {
    const NormProblem problem(c, ranks.size(), 7);
    std::vector<cuda::PeerReduceNorm> calls;
    for (int r = 0; r < ranks.size(); ++r) {
      const NormViews v(ranks, r, c);
      upload(ranks, r, v, problem);
      ASSERT_TRUE(ranks.rank(r).stream->synchronize().ok());
      calls.push_back({.x = {.peer = ranks.group().endpoint(r),
                             .op = cuda::PeerOp::kAllReduceAddRmsNorm,
                             .x = v.x.raw(),
                             .count = v.x.numel(),
                             .type = c.type == DType::kF32 ? cuda::ElementType::kF32
                                                           : cuda::ElementType::kBF16},
                       .y = {v.y.raw(), v.y.stride(0)},
                       .residual = {v.residual.data<float>(), v.residual.stride(0)},
                       .weight = v.weight.data<float>(),
                       .eps = NormProblem::kEps,
                       .rows = c.rows,
                       .width = c.width});
    }
    const cudaStream_t stream = ranks.rank(0).stream->handle();
    ASSERT_EQ(cuda::peer_all_reduce_add_rms_norm_together(calls.data(), stream), cudaSuccess);
    ASSERT_TRUE(ranks.rank(0).stream->synchronize().ok());
    for (int r = 0; r < ranks.size(); ++r) {
      compare(ranks, r, c, NormViews(ranks, r, c), problem);
    }
  }
}

}  // namespace
}  // namespace tutti::test
