// One rank's endpoint in a group. A group of one is a normal case: its collectives are no-ops, so
// callers never branch on the size.
#pragma once
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/status.h"
#include "tensor/tensor_view.h"

namespace tutti {

/// A device or a collective failed. Thrown on rank threads only and caught once at their top
/// (backend/rank_group.cc); nothing on that rank can be trusted afterwards.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Another rank has lost the job that this one is in, or the one before; see RankSet::interrupt().
class CollectiveInterrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// residual += sum over ranks of x; y = residual / sqrt(mean(residual^2) + eps) * weight over the
/// last dimension. The sum is f32 and not rounded before it is added.
struct AllReduceAddRmsNorm {
  TensorView y;         ///< [t, d] act
  TensorView residual;  ///< [t, d] f32, in place; equal on all ranks, before and after
  TensorView x;         ///< [t, d] act, contiguous: this rank's part of the sum; scratch afterwards
  ConstTensorView weight;  ///< [d] f32
  float eps = 0;
};

/// Rows [begin, begin + count) of `rows` that fall to one rank of `ranks`; they differ by one at
/// most.
struct RowShare {
  int64_t begin = 0;
  int64_t count = 0;
};

constexpr RowShare row_share(int64_t rows, int rank, int ranks) {
  const int64_t begin = rows * rank / ranks;
  return {.begin = begin, .count = rows * (rank + 1) / ranks - begin};
}

/// Every rank has some columns of all rows and gets all columns of some rows: those of row_share().
struct ExchangeRows {
  TensorView out;                   ///< [row_share(rows, rank).count, sum(widths)] f32
  ConstTensorView in;               ///< [rows, widths[rank]] f32
  std::span<const int64_t> widths;  ///< one per rank
};

/// Every rank's x becomes that of rank `root`.
struct Broadcast {
  TensorView x;  ///< contiguous, any type
  int root = 0;
};

/// All ranks call the same collectives in the same order with the same shapes and types. On a
/// device they are queued on the rank's stream like operations, can be recorded (Device::record)
/// and do not wait on the host. A rank that waits too long for another (RankRequest) ends the
/// group's work: see RankSet::health().
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// x = sum over ranks of x, in place; every rank gets the same bits.
  virtual void all_reduce_sum(TensorView x) = 0;  // contiguous, f32 or the compute type

  /// How all_reduce_sum() would sum so many bytes, where there are several ways: "ll", "one_shot",
  /// "two_shot" (docs/adr/0022-peer-collectives.md), "nccl"; else what the one way is called.
  virtual const char* all_reduce_algorithm(int64_t /*bytes*/) const { return "none"; }

  /// Concatenates along the last dimension: out[:, offset(r) : offset(r) + widths[r]] = in of rank
  /// r.
  virtual void all_gather_columns(TensorView out,      // [rows, sum(widths)] f32
                                  ConstTensorView in,  // [rows, widths[rank()]] f32
                                  std::span<const int64_t> widths) = 0;  // one per rank

  virtual void exchange_rows(const ExchangeRows& args) = 0;

  virtual void broadcast(const Broadcast& args) = 0;

  /// False: nothing was done, and the caller takes all_reduce_sum() and Ops::add_rms_norm()
  /// instead. All ranks get the same answer for the same shapes.
  virtual bool all_reduce_add_rms_norm(const AllReduceAddRmsNorm& /*args*/) { return false; }

  /// Of the ranks' threads; says nothing about what is queued on devices.
  virtual void barrier() = 0;

  /// Measures which way of doing collectives is fastest for which size, where there are several.
  /// All ranks call it at the same time, once at load; it takes up to a few seconds, waits for the
  /// stream and needs 32 MiB of the device for as long. Which way was taken changes no bits.
  virtual void tune() {}

  /// What tune() found, in one line that set_tuning() takes on another start with the same devices,
  /// driver and build; empty where there is nothing to choose.
  virtual std::string tuning() const { return {}; }

  /// Instead of tune(), on all ranks alike. kCorrupt shows a line that tuning() did not write.
  virtual Status set_tuning(std::string_view /*text*/) { return ok_status(); }
};

/// The groups one rank belongs to. Data, expert and pipeline parallel groups have size 1 for now;
/// every module means the tensor parallel group.
struct ParallelGroups {
  Communicator& tp;
  Communicator& dp;
  Communicator& ep;
  Communicator& pp;
};

}  // namespace tutti
