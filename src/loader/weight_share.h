// A rank's share of a parameter: which tensors of a source it comes from, in which format they are
// stored, and how the share lies in device memory.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "loader/hf_config.h"
#include "loader/param_spec.h"
#include "loader/tensor_source.h"

namespace tutti {

/// A rectangle of a stored matrix, in elements. Vectors are matrices of one column.
struct PlaneSlice {
  const TensorInfo* tensor = nullptr;
  Range rows;
  Range cols;
  int64_t tensor_cols = 1;

  int64_t elements() const { return rows.count * cols.count; }

  int64_t bytes() const { return elements() * dtype_size(tensor->dtype); }
};

/// The rows that a rank takes of one weight of a source, and the columns that it takes of all.
struct StoredWeight {
  WeightLayout layout;  ///< in the source
  std::array<const TensorInfo*, kMaxWeightPlanes> planes{};
  Range rows;  ///< of the whole weight
  Range cols;
  int64_t all_cols = 1;

  /// Entries of plane `plane` whose cells touch the rank's rows and columns.
  PlaneSlice slice(int plane) const;
};

struct WeightShare {
  std::vector<StoredWeight> parts;  ///< group by group, within one the sources of the spec
  WeightLayout layout;              ///< in device memory
  bool converted = false;           ///< parts become f32 when they are read

  /// Of the source, for this share.
  int64_t read_bytes() const;
};

/// "model.layers.0.mlp.experts.{}.up_proj.weight" of group 3; the name itself without groups.
std::string source_name(const ParamSpec& spec, const ParamSource& source, int64_t group);

/// The tensor that holds the values of a weight, in any known format; nullptr if there is none.
const TensorInfo* find_values(const TensorSource& tensors,
                              const std::string& name,
                              const QuantConfig& quant);

/// kNotFound, with nothing but its name, if a weight is missing. kInvalidArgument: type or shape
/// are not those of the declaration, parts of its format are missing, or the rank's share begins or
/// ends inside a cell that cannot be cut.
Result<WeightShare> find_share(const ParamSpec& spec,
                               const TensorSource& tensors,
                               const QuantConfig& quant);

/// The layout of a share without a checkpoint: what the configuration implies, in `dense` where it
/// implies no quantisation. kInvalidArgument as find_share().
Result<WeightLayout> implied_layout(const ParamSpec& spec, const QuantConfig& quant, DType dense);

}  // namespace tutti
