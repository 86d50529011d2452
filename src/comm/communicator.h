// One rank's endpoint in a group. A group of one is a normal case: its collectives are no-ops, so
// callers never branch on the size.
#pragma once
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "tensor/tensor_view.h"

namespace tutti {

/// A device or a collective failed. Thrown on rank threads only and caught once at their top
/// (backend/rank_group.cc); nothing on that rank can be trusted afterwards.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// x = sum over ranks of x, in place; every rank gets the same bits.
  virtual void all_reduce_sum(TensorView x) = 0;  // contiguous, f32 or the compute type

  /// Concatenates along the last dimension: out[:, offset(r) : offset(r) + widths[r]] = in of rank
  /// r.
  virtual void all_gather_columns(TensorView out,      // [rows, sum(widths)] f32
                                  ConstTensorView in,  // [rows, widths[rank()]] f32
                                  std::span<const int64_t> widths) = 0;  // one per rank

  virtual void barrier() = 0;
};

/// The groups one rank belongs to. Data, expert and pipeline parallel groups have size 1 for now;
/// the modules already say which group they mean.
struct ParallelContext {
  Communicator& tp;
  Communicator& dp;
  Communicator& ep;
  Communicator& pp;
};

}  // namespace tutti
