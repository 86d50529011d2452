// What a load will read and leave on the device, before anything is allocated.
#include <algorithm>
#include <unordered_set>

#include <fmt/ranges.h>

#include "base/checked.h"
#include "loader/weight_loader.h"
#include "loader/weight_share.h"

namespace tutti {

namespace {

constexpr size_t kListed = 5;  // names shown of a longer list
// A config.json with absurd numbers can imply billions of tensors; counting stops here.
constexpr size_t kMaxMissing = 1000;
constexpr int64_t kMaxBytes = int64_t{1} << 56;  // leaves room to add up over ranks

// Names of the weights that nothing holds.
class MissingWeights {
 public:
  explicit MissingWeights(const TensorSource& tensors) : tensors_(tensors) {}

  // False once there are so many that looking on is of no use.
  bool look_for(const ParamSpec& spec, const QuantConfig& quant) {
    // Every group counts: with expert parallelism other ranks read the other groups.
    for (int64_t g = 0; g < std::max<int64_t>(spec.groups, 1); ++g) {
      for (const ParamSource& source : spec.sources) {
        const std::string name = source_name(spec, source, g);
        if (find_values(tensors_, name, quant) == nullptr) {
          names_.push_back(name);
        }
      }
      if (names_.size() >= kMaxMissing) {
        return false;
      }
    }
    return true;
  }

  Status status() const {
    if (names_.empty()) {
      return ok_status();
    }
    const size_t shown = std::min(names_.size(), kListed);
    return error(
        StatusCode::kInvalidArgument,
        "{}: the checkpoint lacks {}{} of the tensors that config.json implies: {}{}; is the "
        "download complete, "
        "and does config.json belong to it?",
        tensors_.path(),
        names_.size() < kMaxMissing ? "" : "at least ",
        names_.size(),
        fmt::join(names_.begin(), names_.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
        names_.size() > shown ? ", ..." : "");
  }

 private:
  const TensorSource& tensors_;
  std::vector<std::string> names_;
};

}  // namespace

void WeightLoader::add_bytes(const Param& param, LoadPlan& plan) const {
  const Shape& shape = param.shape_;
  const Derivation* derivation = param.derivation();
  if (derivation == nullptr || derivation->keep_source) {
    plan.weight_bytes += param.layout_.bytes(shape);
  }
  if (derivation != nullptr) {
    plan.peak_extra_bytes =
        std::max(plan.peak_extra_bytes, 2 * WeightLayout::of(kF32Weights).bytes(shape));
    for (const Param* derived : param.derived_) {
      plan.weight_bytes += derived->layout_.bytes(derived->shape_);
    }
  }
}

Result<LoadPlan> WeightLoader::plan(const std::vector<std::string>& ignored_prefixes) {
  TUTTI_RETURN_IF_ERROR(registry_.status());
  if (tensors_ == nullptr) {
    return plan_dummy();
  }
  LoadPlan plan;
  MissingWeights missing(*tensors_);
  Status wrong;
  for (Param& param : registry_.params()) {
    if (!param.constant().empty()) {
      plan.weight_bytes += param.layout_.bytes(param.shape_);
    }
    if (param.is_derived_ || !param.constant().empty()) {
      continue;
    }
    if (!missing.look_for(param.spec(), quant_)) {
      break;
    }
    const Result<WeightShare> share = resolve(param);
    if (share.ok()) {
      plan.read_bytes += share->read_bytes();
      add_bytes(param, plan);
    } else if (wrong.ok() && share.status().code() != StatusCode::kNotFound) {
      wrong = share.status();
    }
  }
  TUTTI_RETURN_IF_ERROR(missing.status());
  TUTTI_RETURN_IF_ERROR(wrong);
  plan.unexpected = unexpected_tensors(ignored_prefixes);
  return plan;
}

std::vector<std::string> WeightLoader::unexpected_tensors(
    const std::vector<std::string>& ignored_prefixes) const {
  // Planes count as used in every format, also those of one that the configuration does not name.
  std::vector<const WeightFormat*> formats(weight_formats().begin(), weight_formats().end());
  if (quant_.format != nullptr) {
    formats.push_back(quant_.format);
  }
  std::unordered_set<std::string> used;
  for (const Param& param : registry_.params()) {
    for (int64_t g = 0; g < std::max<int64_t>(param.spec().groups, 1); ++g) {
      for (const ParamSource& source : param.spec().sources) {
        const std::string name = source_name(param.spec(), source, g);
        used.insert(name + "_shape");  // of packed weights, which the declaration says too
        for (const WeightFormat* format : formats) {
          for (const WeightPlane& plane : format->all_planes()) {
            used.insert(name + plane.suffix);
          }
        }
      }
    }
  }
  std::vector<std::string> unexpected;
  for (const std::string& name : tensors_->names()) {
    const bool ignored = name.ends_with("rotary_emb.inv_freq") ||
                         std::any_of(ignored_prefixes.begin(),
                                     ignored_prefixes.end(),
                                     [&name](const std::string& p) { return name.starts_with(p); });
    if (!ignored && !used.contains(name)) {
      unexpected.push_back(name);
    }
  }
  return unexpected;
}

Status WeightLoader::imply_layout(Param& param) const {
  TUTTI_TRY(param.layout_, implied_layout(param.spec(), quant_, types_.made_up));
  const WeightFormat& format = *param.layout_.format;
  for (Param* derived : param.derived_) {
    derived->layout_ = WeightLayout::of(format.dense() ? format : *dense_format(types_.derived));
  }
  return ok_status();
}

Result<LoadPlan> WeightLoader::plan_dummy() {
  LoadPlan plan;
  for (Param& param : registry_.params()) {
    if (param.is_derived_) {
      continue;
    }
    std::vector<int64_t> factors{dtype_size(DType::kF64)};  // no format needs more
    for (int i = 0; i < param.shape_.rank(); ++i) {
      factors.push_back(param.shape_[i]);
    }
    const std::optional<int64_t> most = checked_product(factors);
    if (!most || *most > kMaxBytes - plan.weight_bytes) {
      return error(StatusCode::kOutOfMemory,
                   "{}: shape {} needs more memory than any machine has",
                   param.spec().name,
                   param.shape_.to_string());
    }
    if (param.constant().empty()) {
      TUTTI_RETURN_IF_ERROR(imply_layout(param));
    }
    add_bytes(param, plan);
  }
  return plan;
}

}  // namespace tutti
