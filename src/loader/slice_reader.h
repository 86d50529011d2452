// A rank's share of a parameter, read from the checkpoint piece by piece: rows of several tensors
// one below the other, of each the same columns, in the type that the rank keeps.
#pragma once
#include <cstdint>
#include <vector>

#include "loader/checkpoint.h"
#include "loader/hf_config.h"
#include "loader/stored_values.h"

namespace tutti {

/// Reading is for any number of threads at once.
class SliceReader {
 public:
  /// `local` is the type that elements get; `cols` are those of `source_cols` that are read.
  SliceReader(DType local, int64_t source_cols, Range cols, const QuantConfig& quant)
      : local_(local), source_cols_(source_cols), cols_(cols), quant_(quant) {}

  /// Goes on with `rows` of `tensor`, a matrix of source_cols columns stored as `local` or as
  /// anything if `local` is f32. With `scale` every element is multiplied by the scale of its
  /// block. Errors are those of read_scales. Not while other threads read.
  Status add(const TensorRef& tensor, Range rows, const TensorRef* scale);

  /// Writes bytes [begin, end) of the local tensor, whole elements, to `out`. Returns the bytes of
  /// the checkpoint that this took, scales not counted.
  Result<int64_t> read(int64_t begin, int64_t end, std::byte* out) const;

 private:
  struct Source {
    TensorRef tensor;
    Range rows;
    int64_t first = 0;  // element of the local tensor where it begins
    ScaleBlocks blocks;
    std::vector<float> scales;  // of blocks, row by row; empty: no scales
  };

  // Of these, [begin, end) counts elements of the rank's share of `source`.
  void read_ahead(const Source& source, int64_t begin, int64_t end) const;
  Status read_stored(const Source& source, int64_t begin, int64_t end, std::byte* out) const;
  Status read_as_floats(const Source& source, int64_t begin, int64_t end, float* out) const;
  void multiply_scales(const Source& source, int64_t begin, int64_t end, float* values) const;
  int64_t stored_at(const Source& source, int64_t index) const;  // in the tensor, in bytes

  DType local_;
  int64_t source_cols_;
  Range cols_;
  QuantConfig quant_;
  std::vector<Source> sources_;  // by `first`
  int64_t elements_ = 0;
};

}  // namespace tutti
