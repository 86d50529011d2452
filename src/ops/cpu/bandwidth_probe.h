// How fast this machine reads and copies memory. Reading is the ceiling for decoding, which reads
// every weight once per token.
#pragma once
#include <cstdint>
#include <memory>

#include "base/status.h"
#include "device/device.h"

namespace tutti {

struct MemoryBandwidth {
  double read = 0;  ///< bytes per second
  double copy = 0;  ///< bytes per second, read and written ones counted
};

/// A region of memory and the threads that read it; each walks over its own part.
class BandwidthProbe {
 public:
  /// `bytes` should be several times the last-level cache. kOutOfMemory if there is no such region.
  static Result<std::unique_ptr<BandwidthProbe>> create(int threads, int64_t bytes);
  virtual ~BandwidthProbe() = default;

  /// Bytes per second of one pass over the region. It may run beside another process, so take the
  /// median or the best of several.
  virtual double read() = 0;

  /// The same of copying one half of every part to the other.
  virtual double copy() = 0;
};

/// The medians of five passes over a fresh region.
Result<MemoryBandwidth> measure_bandwidth(int threads, int64_t bytes);

}  // namespace tutti
