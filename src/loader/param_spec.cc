#include "loader/param_spec.h"

#include "base/checked.h"

namespace tutti {

int64_t ParamSpec::local_rows() const {
  int64_t rows = 0;
  for (const ParamSource& s : sources) {
    rows += s.take.count;
  }
  return rows;
}

Shape ParamSpec::local_shape() const {
  Shape shape;
  if (groups > 0) {
    shape.push_back(take_groups.count);
  }
  shape.push_back(local_rows());
  if (cols > 0) {
    shape.push_back(take_cols.count);
  }
  return shape;
}

WeightView Param::weight() const {
  TUTTI_CHECK_MSG(loaded() || stand_in_.defined(), "{} is used but not loaded", spec_.name);
  WeightView view;
  view.data = tensor();
  if (scales_.defined()) {
    view.scales = scales_.view();
    view.scale_row = scale_row_.view();
    view.block_k = block_k_;
    view.phase_k = phase_k_;
  }
  return view;
}

Param* ParamRegistry::add(ParamSpec spec) {
  params_.emplace_back(std::move(spec));
  Param& param = params_.back();
  param.shape_ = param.spec_.local_shape();
  return &param;
}

std::vector<Param*> ParamRegistry::derive(Param* source, Derivation derivation) {
  for (const Derivation::Output& output : derivation.outputs) {
    ParamSpec spec;
    spec.name = output.name;
    Param* param = add(std::move(spec));
    param->is_derived_ = true;
    param->shape_ = output.shape;
    source->derived_.push_back(param);
  }
  source->derivation_ = std::move(derivation);
  return source->derived_;
}

Param* ParamRegistry::constant(std::string name, std::vector<float> values) {
  ParamSpec spec;
  spec.name = std::move(name);
  Param* param = add(std::move(spec));
  param->shape_ = {ssize(values.size())};
  param->constant_ = std::move(values);
  return param;
}

ParamStandIns::ParamStandIns(ParamRegistry& registry) : registry_(registry) {
  void* nowhere = reinterpret_cast<void*>(uintptr_t{256});  // not null, which is "undefined"
  for (Param& param : registry_.params()) {
    param.stand_in_ = {nowhere, DType::kF32, param.shape_};
  }
}

ParamStandIns::~ParamStandIns() {
  for (Param& param : registry_.params()) {
    param.stand_in_ = {};
  }
}

void ParamRegistry::fail(Status status) {
  if (status_.ok()) {
    status_ = std::move(status);
  }
}

}  // namespace tutti
