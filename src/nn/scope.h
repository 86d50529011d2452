// Where a module stands in the checkpoint, and which part of split dimensions its rank owns.
// Declaring through a scope allocates nothing, so planning for any number of ranks runs the same
// code as loading.
#pragma once
#include <cstdint>
#include <string>
#include <utility>

#include "loader/param_spec.h"
#include "loader/partition.h"

namespace tutti {

class Scope {
 public:
  Scope(ParamRegistry& registry, Partition partition, std::string prefix = "")
      : registry_(&registry), partition_(partition), prefix_(std::move(prefix)) {}

  Scope operator/(const std::string& name) const {
    return {*registry_, partition_, prefix_.empty() ? name : prefix_ + "." + name};
  }

  Scope operator/(int64_t index) const { return *this / std::to_string(index); }

  /// "model.layers.3.self_attn" + "q_proj.weight"
  std::string name(const std::string& leaf) const {
    return prefix_.empty() ? leaf : prefix_ + "." + leaf;
  }

  ParamRegistry& registry() const { return *registry_; }

  int ranks() const { return partition_.ranks(); }

  // This rank's part of a dimension; an impossible split is recorded in the registry.
  Range exact(int64_t units, const std::string& what) const {
    return checked(partition_.exact(units, what), units);
  }

  Range shared(int64_t units, const std::string& what) const {
    return checked(partition_.shared(units, what), units);
  }

  Range balanced(int64_t units, const std::string& what) const {
    return checked(partition_.balanced(units, what), units);
  }

  Range balanced_weights(int64_t units, const std::string& what) const {
    return checked(partition_.balanced_weights(units, what), units);
  }

 private:
  Range checked(Result<Range> range, int64_t units) const {
    if (!range.ok()) {
      registry_->fail(std::move(range).status());
      return {0, units};  // keeps the declaration going; the recorded error ends it
    }
    return *range;
  }

  ParamRegistry* registry_;
  Partition partition_;
  std::string prefix_;
};

}  // namespace tutti
