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
      : name_(std::move(name)), ops_(std::move(ops)) {}

  virtual ~TestBackend() = default;

  const std::string& name() const { return name_; }

  Ops& ops() { return *ops_; }

  /// The tensor in the memory of the ops, with its values.
  virtual TensorView to_device(HostTensor& tensor) { return tensor.view(); }

  /// Brings the values back, after all calls so far are done.
  virtual void to_host(HostTensor& tensor) { static_cast<void>(tensor); }

 private:
  std::string name_;
  std::unique_ptr<Ops> ops_;
};

/// Tensors of a case on a backend, and the call.
class PreparedOp {
 public:
  explicit PreparedOp(TestBackend& backend) : backend_(backend) {}

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
  TestBackend& backend_;
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

inline std::vector<HostTensor> run_case(const OpCase& op_case, TestBackend& backend) {
  PreparedOp op(backend);
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
