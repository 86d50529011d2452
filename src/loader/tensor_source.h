// Where weights come from: named tensors of known type and shape, read in slices. Loading and its
// checks know nothing else of a checkpoint. safetensors (checkpoint.h) is one; others may follow.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"

namespace tutti {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> dims;  ///< row-major, outermost first
  std::string file;           ///< for messages
};

/// Reading is for any number of threads at once. Tensors belong to the source that returned them.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  /// The directory or file, for messages.
  virtual const std::string& path() const = 0;

  /// nullptr if there is no such tensor.
  virtual const TensorInfo* find(std::string_view name) const = 0;

  /// Of all tensors, in the order of the files.
  virtual const std::vector<std::string>& names() const = 0;

  /// Copies bytes [begin, begin + bytes) of the tensor's data. kCorrupt, with file and tensor, if
  /// they are no longer there or cannot be read.
  virtual Status read(const TensorInfo& tensor,
                      int64_t begin,
                      int64_t bytes,
                      std::byte* to) const = 0;

  /// Copies `count` runs of `run` bytes that begin `stride` bytes apart, the first at `begin`, one
  /// behind the other. Errors as of read().
  virtual Status read_strided(const TensorInfo& tensor,
                              int64_t begin,
                              int64_t run,
                              int64_t stride,
                              int64_t count,
                              std::byte* to) const = 0;

  /// Says that all of [begin, begin + bytes) will be read soon. Does not wait.
  virtual void read_ahead(const TensorInfo& tensor, int64_t begin, int64_t bytes) const = 0;
};

}  // namespace tutti
