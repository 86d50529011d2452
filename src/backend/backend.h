// A backend makes what one rank needs: a device, ops on it, an endpoint of the group. The CPU
// backend is built in; the CUDA backend lives in libtutti_cuda.so.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "comm/communicator.h"
#include "device/device.h"
#include "ops/ops.h"

namespace tutti {

struct RankResources {
  std::unique_ptr<Device> device;
  std::unique_ptr<Stream> stream;  ///< where `ops` and `tp` queue their work, in order
  std::unique_ptr<Ops> ops;
  std::unique_ptr<Communicator> tp;
};

/// The ranks of one group, and the way to wake them all when one fails.
class RankSet {
 public:
  virtual ~RankSet() = default;
  virtual std::vector<RankResources>& ranks() = 0;
  /// Makes every pending and future collective throw DeviceError(reason).
  virtual void abort(const std::string& reason) = 0;
};

/// What the hardware of all ranks together delivers at most, measured; 0: not measured.
struct Ceilings {
  double read = 0;   ///< bytes per second to readers
  double copy = 0;   ///< bytes per second read and written by a copy, both counted
  double flops = 0;  ///< per second, of large matrix products in a compute type
};

class Backend {
 public:
  virtual ~Backend() = default;
  /// "cpu (AVX-512, 16 threads)" or "8 x NVIDIA H200": for people.
  virtual std::string describe() const = 0;
  /// Memory that models may still take, in bytes; over all ranks on the CPU, per GPU otherwise.
  virtual int64_t free_bytes() const = 0;
  virtual bool ranks_share_memory() const = 0;
  /// Memory that one rank takes for itself beside weights, KV cache and activations: workspaces,
  /// the code of kernels, state of libraries.
  virtual int64_t rank_overhead_bytes() const = 0;
  /// Measured now, with matrix products in `compute`.
  virtual Result<Ceilings> measure_ceilings(DType compute) = 0;
  /// The type of activations and KV cache if nobody asks for another.
  virtual DType default_compute() const = 0;
  /// kUnsupported says which types this backend computes in.
  virtual Status check_compute(DType act) const = 0;
  virtual Result<std::unique_ptr<RankSet>> make_ranks(int ranks) = 0;
};

}  // namespace tutti
