// Pieces of a rank's share of a weight, read from a source: rows of several tensors one below the
// other, of each the same columns, as they are stored or as f32.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "loader/tensor_source.h"
#include "loader/weight_share.h"

namespace tutti {

/// Reading is for any number of threads at once.
class SliceReader {
 public:
  explicit SliceReader(const TensorSource& tensors) : tensors_(tensors) {}

  /// Goes on with a plane, or a part of one, as it is stored. Not while other threads read.
  void add(const PlaneSlice& slice);

  /// Goes on with a part of a weight as f32. Planes other than the values are read at once, which
  /// is where errors come from: kCorrupt if a float is not finite, or those of the source. Returns
  /// the bytes that took. A reader has parts of one kind.
  Result<int64_t> add_as_floats(const StoredWeight& part);

  /// Writes bytes [begin, end) of all parts one behind the other, whole elements, to `out`. Returns
  /// the bytes of the source that this took.
  Result<int64_t> read(int64_t begin, int64_t end, std::byte* out) const;

 private:
  struct Part {
    PlaneSlice values;
    int64_t first = 0;                   // element of the result where it begins
    int64_t elements = 0;                // of the result
    int64_t size = 0;                    // bytes of such an element
    std::optional<StoredWeight> weight;  // to dequantise
    std::array<std::vector<std::byte>, kMaxWeightPlanes> planes;  // its others, as slice() says
  };

  void push(Part part);
  /// [begin, end) counts elements of the part.
  Result<int64_t> read_part(const Part& part, int64_t begin, int64_t end, std::byte* out) const;
  Result<int64_t> read_floats(const Part& part, int64_t begin, int64_t end, float* out) const;
  Result<int64_t> read_rows(
      const Part& part, Range rows, Range cols, std::byte* buffer, float* out) const;
  Status read_stored(const PlaneSlice& slice, int64_t begin, int64_t end, std::byte* out) const;
  void read_ahead(const PlaneSlice& slice, int64_t begin, int64_t end) const;

  const TensorSource& tensors_;
  std::vector<Part> parts_;  // by `first`
  int64_t elements_ = 0;
};

/// The whole slice with its floats converted to `dtype`, row by row; kCorrupt if one is not a
/// finite number, or the errors of the source. For small planes.
Result<std::vector<std::byte>> read_plane(const TensorSource& tensors,
                                          const PlaneSlice& slice,
                                          const WeightPlane& plane);

}  // namespace tutti
