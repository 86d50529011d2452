// Parameters, declared once. A model states for each parameter which checkpoint tensors it comes
// from and which part this rank owns; that list feeds the loader, the planner (bytes per rank
// without loading), the checks for missing or mis-shaped tensors, and the tests.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "device/device.h"
#include "loader/partition.h"
#include "tensor/weight_view.h"

namespace tutti {

/// One checkpoint tensor, or for stacked parameters one per group ("{}" in the name is the group
/// index).
struct ParamSource {
  std::string name;
  int64_t rows = 0;  ///< of the whole tensor
  Range take;        ///< rows this rank owns
};

enum class DTypeRule {
  kAsStored,  ///< keep what the checkpoint has, quantised or not
  kDense,     ///< as stored, but dequantised to f32 if the checkpoint quantised it (lookup tables)
  kF32,       ///< convert to f32 when loading (norms, biases: small, read by every backend as f32)
};

/// Parameters computed from another one at load, e.g. MLA's W_UK and W_UV from kv_b_proj.
struct Derivation {
  struct Output {
    std::string name;
    Shape shape;
  };

  std::vector<Output> outputs;
  /// Only copies and transposes: outputs then keep a dense source's dtype without rounding. A
  /// quantised source is dequantised to f32 first.
  std::function<void(ConstTensorView source, const std::vector<TensorView>& outputs)>
      compute;               // all f32
  bool keep_source = false;  ///< otherwise the source is freed after compute
};

/// Local tensor: sources one below the other (rows), all with the same columns; groups stacked in
/// front.
struct ParamSpec {
  std::string name;  ///< unique; the checkpoint name where there is only one source
  std::vector<ParamSource> sources;
  int64_t cols = 0;    ///< of the whole tensor; 0 = a vector
  Range take_cols;     ///< columns this rank owns
  int64_t groups = 0;  ///< 0 = not stacked
  Range take_groups;   ///< groups this rank owns (expert parallelism)
  DTypeRule dtype = DTypeRule::kAsStored;
  /// Checkpoints with quantised weights keep this one dense, whether they name it as an exception
  /// or not (routers). Only made-up weights ask: a checkpoint is loaded as it is.
  bool usually_dense = false;

  int64_t local_rows() const;
  Shape local_shape() const;
};

/// A declared parameter and, after loading, its storage on the device.
class Param {
 public:
  explicit Param(ParamSpec spec) : spec_(std::move(spec)) {}

  const ParamSpec& spec() const { return spec_; }

  const Derivation* derivation() const { return derivation_.compute ? &derivation_ : nullptr; }

  bool loaded() const { return planes_[0].defined(); }

  /// Of the rank's share.
  const Shape& shape() const { return shape_; }

  /// Format and cells in device memory: known as soon as a WeightLoader has planned or loaded, f32
  /// before.
  const WeightLayout& layout() const { return layout_; }

  /// Values that come from the configuration rather than the checkpoint (rotary frequencies); else
  /// empty.
  const std::vector<float>& constant() const { return constant_; }

  /// For linear ops.
  const WeightView& weight() const;

  /// For ops that take a plain tensor (norms, biases, embeddings).
  ConstTensorView tensor() const { return view_.planes[0]; }

  /// In device memory; 0 unless loaded.
  int64_t bytes() const;

 private:
  friend class ParamRegistry;
  friend class ParamStandIns;
  friend class WeightLoader;

  ParamSpec spec_;
  Derivation derivation_;
  std::vector<Param*> derived_;  // filled when derivation_.compute runs; same order as its outputs
  bool is_derived_ = false;
  std::vector<float> constant_;
  Status allocate(Device& device);  // all planes
  void free();

  Shape shape_;  // local, known from the declaration
  WeightLayout layout_ = WeightLayout::of(kF32Weights);
  std::array<Tensor, kMaxWeightPlanes> planes_;
  WeightView view_;  // of planes_, or see ParamStandIns; made once, since every step asks for it
};

/// What one rank of one model declared. The first error sticks; declaring goes on so that callers
/// need no checks.
class ParamRegistry {
 public:
  Param* add(ParamSpec spec);
  /// Declares the outputs of `derivation` as parameters computed from `source`.
  std::vector<Param*> derive(Param* source, Derivation derivation);
  /// A small f32 vector computed from the configuration, placed on the device with the weights.
  Param* constant(std::string name, std::vector<float> values);
  void fail(Status status);

  const Status& status() const { return status_; }

  std::deque<Param>& params() { return params_; }

  const std::deque<Param>& params() const { return params_; }

 private:
  std::deque<Param> params_;  // addresses stay valid
  Status status_;
};

/// As long as it lives, parameters that are not loaded pass for loaded ones of their shapes and
/// layouts, without memory behind them: for passes that only measure or check.
class ParamStandIns {
 public:
  explicit ParamStandIns(ParamRegistry& registry);
  ~ParamStandIns();
  ParamStandIns(const ParamStandIns&) = delete;
  ParamStandIns& operator=(const ParamStandIns&) = delete;

 private:
  ParamRegistry& registry_;
};

}  // namespace tutti
