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

const WeightView& Param::weight() const {
  TUTTI_CHECK_MSG(view_.planes[0].defined(), "{} is used but not loaded", spec_.name);
  return view_;
}

int64_t Param::bytes() const {
  int64_t bytes = 0;
  for (const Tensor& plane : planes_) {
    bytes += plane.bytes();
  }
  return bytes;
}

Status Param::allocate(Device& device) {
  view_ = WeightView(layout_, shape_);
  view_.name = spec_.name.c_str();
  for (int p = 0; p < layout_.format->plane_count; ++p) {
    const WeightPlane& plane = layout_.format->planes[usize(p)];
    Tensor& tensor = planes_[usize(p)];
    TUTTI_TRY(tensor,
              Tensor::empty(device,
                            plane.dtype,
                            layout_.plane_shape(p, shape_),
                            p == 0 ? spec_.name : spec_.name + " " + plane.name));
    TUTTI_CHECK_EQ(
        reinterpret_cast<uintptr_t>(tensor.view().raw()) % usize(layout_.format->alignment), 0U);
    view_.planes[usize(p)] = tensor.view();
  }
  return ok_status();
}

void Param::free() {
  planes_ = {};
  view_ = {};
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
    if (param.loaded()) {
      continue;
    }
    param.view_ = WeightView(param.layout_, param.shape_);
    param.view_.name = param.spec_.name.c_str();
    for (int p = 0; p < param.layout_.format->plane_count; ++p) {
      param.view_.planes[usize(p)] = {nowhere,
                                      param.layout_.format->planes[usize(p)].dtype,
                                      param.layout_.plane_shape(p, param.shape_)};
    }
  }
}

ParamStandIns::~ParamStandIns() {
  for (Param& param : registry_.params()) {
    if (!param.loaded()) {
      param.view_ = {};
    }
  }
}

void ParamRegistry::fail(Status status) {
  if (status_.ok()) {
    status_ = std::move(status);
  }
}

}  // namespace tutti
