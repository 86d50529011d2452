// What modules need to run on one rank of the reference operations.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "comm/null_communicator.h"
#include "comm/self_communicator.h"
#include "device/cpu_device.h"
#include "loader/weight_loader.h"
#include "nn/compute_context.h"
#include "nn/scope.h"
#include "ops/ref/ref_ops.h"

namespace tutti::testing {

inline std::vector<float> values(ConstTensorView x) {
  EXPECT_TRUE(x.contiguous());
  return {x.data<float>(), x.data<float>() + x.numel()};
}

/// A rank whose group moves no data, with its part of a checkpoint.
class LoneRank {
 public:
  LoneRank(int rank, int ranks) : tp_(rank, ranks), scope_(registry_, Partition(rank, ranks)) {}

  LoneRank(const LoneRank&) = delete;
  LoneRank& operator=(const LoneRank&) = delete;

  CpuDevice& device() { return device_; }

  const Scope& scope() const { return scope_; }

  const ComputeContext& context() const { return context_; }

  void load(const TensorSource& checkpoint) {
    const Status status =
        WeightLoader(registry_, &checkpoint, {}).load(device_, {.threads = 1, .piece_bytes = 64});
    ASSERT_TRUE(status.ok()) << status.message();
  }

  /// Of the loaded parameter, which is f32.
  std::vector<float> param(const std::string& name) const {
    for (const Param& p : registry_.params()) {
      if (p.spec().name == name) {
        return values(p.tensor());
      }
    }
    ADD_FAILURE() << "no parameter " << name;
    return {};
  }

  TensorView floats(const Shape& shape, const std::vector<float>& data) {
    const TensorView x = context_.alloc_f32(shape);
    std::copy(data.begin(), data.end(), x.data<float>());
    return x;
  }

  TensorView ints(const Shape& shape, const std::vector<int32_t>& data) {
    const TensorView x = arena_.alloc(DType::kI32, shape);
    std::copy(data.begin(), data.end(), x.data<int32_t>());
    return x;
  }

 private:
  CpuDevice device_;
  std::unique_ptr<Ops> ops_ = make_ref_ops();
  NullCommunicator tp_;
  SelfCommunicator self_;
  ParallelGroups parallel_{.tp = tp_, .dp = self_, .ep = self_, .pp = self_};
  Arena arena_ = Arena::create(device_, 1 << 20).value();
  ComputeContext context_{*ops_, parallel_, arena_};
  ParamRegistry registry_;
  Scope scope_;
};

}  // namespace tutti::testing
