// One op call with its inputs, as data: the parity tests of every backend and op_bench run the same
// lists of these (cases_*.h, one per op family).
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ops/host_tensor.h"
#include "ops/ops.h"
#include "ops/tolerance.h"

namespace tutti::test {

/// Where a case runs. The default is a backend that reads host memory.
class TestBackend {
 public:
  TestBackend(std::string name, std::unique_ptr<Ops> ops)
      : name_(std::move(name)), owned_(std::move(ops)), ops_(*owned_) {}

  /// `ops` outlives this.
  TestBackend(std::string name, Ops& ops) : name_(std::move(name)), ops_(ops) {}

  virtual ~TestBackend() = default;

  const std::string& name() const { return name_; }

  Ops& ops() { return ops_; }

  /// The tensor in the memory of the ops, with its values.
  virtual TensorView to_device(HostTensor& tensor) { return tensor.view(); }

  /// Brings the values back, after all calls so far are done.
  virtual void to_host(HostTensor& tensor) { static_cast<void>(tensor); }

 private:
  std::string name_;
  std::unique_ptr<Ops> owned_;
  Ops& ops_;
};

/// The compute type of a run. The reference has f32 only: for comparisons with a bf16 run its
/// activations are f32 with values that bf16 holds.
enum class Compute { kF32, kBf16, kF32RoundedToBf16 };

/// Tensors of a case on a backend, and the call.
class PreparedOp {
 public:
  explicit PreparedOp(TestBackend& backend, Compute compute = Compute::kF32)
      : backend_(backend), compute_(compute) {}

  Ops& ops() { return backend_.ops(); }

  TensorView input(HostTensor tensor) {
    tensors_.push_back(std::make_unique<HostTensor>(std::move(tensor)));
    return backend_.to_device(*tensors_.back());
  }

  /// An output, or an in-place argument.
  TensorView output(HostTensor tensor) {
    const TensorView view = input(std::move(tensor));
    outputs_.push_back(tensors_.back().get());
    return view;
  }

  /// An f32 tensor as an input of the compute type ("act" in ops.h).
  TensorView act_input(HostTensor tensor) { return input(act(std::move(tensor))); }

  TensorView act_output(HostTensor tensor) { return output(act(std::move(tensor))); }

  /// An f32 input whose values the compute type holds (biases, which backends may round to it).
  TensorView rounded_input(HostTensor tensor) {
    return input(compute_ == Compute::kF32 ? std::move(tensor)
                                           : tensor.as(DType::kBF16).as(DType::kF32));
  }

  void set_call(std::function<void(Ops&)> call) { call_ = std::move(call); }

  void run() { call_(backend_.ops()); }

  /// Values of the outputs, in the order they were made.
  std::vector<HostTensor> results() {
    std::vector<HostTensor> copies;
    for (HostTensor* output : outputs_) {
      backend_.to_host(*output);
      copies.push_back(*output);
    }
    return copies;
  }

 private:
  HostTensor act(HostTensor tensor) const {
    switch (compute_) {
      case Compute::kBf16:
        return tensor.as(DType::kBF16);
      case Compute::kF32RoundedToBf16:
        return tensor.as(DType::kBF16).as(DType::kF32);
      default:
        return tensor;
    }
  }

  TestBackend& backend_;
  Compute compute_;
  std::vector<std::unique_ptr<HostTensor>> tensors_;
  std::vector<HostTensor*> outputs_;
  std::function<void(Ops&)> call_;
};

struct OpCase {
  std::string name;
  Tolerance tolerance;
  double bytes = 0;  ///< that must be read and written at least
  double flops = 0;  ///< products and sums counted apart
  std::function<void(PreparedOp&)> prepare;
};

inline std::vector<HostTensor> run_case(const OpCase& op_case,
                                        TestBackend& backend,
                                        Compute compute = Compute::kF32) {
  PreparedOp op(backend, compute);
  op_case.prepare(op);
  op.run();
  return op.results();
}

inline void append(std::vector<OpCase>& to, std::vector<OpCase> from) {
  for (OpCase& op_case : from) {
    to.push_back(std::move(op_case));
  }
}

}  // namespace tutti::test
