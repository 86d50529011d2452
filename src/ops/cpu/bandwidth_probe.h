// How fast this machine reads memory: the ceiling for decoding, which reads every weight once per
// token.
#pragma once
#include <cstdint>
#include <memory>

#include "base/status.h"
#include "device/device.h"

namespace tutti {

/// A region of memory and the threads that read it; each walks over its own part.
class ReadBandwidthProbe {
 public:
  /// `bytes` should be several times the last-level cache. kOutOfMemory if there is no such region.
  static Result<std::unique_ptr<ReadBandwidthProbe>> create(int threads, int64_t bytes);
  virtual ~ReadBandwidthProbe() = default;

  /// Bytes per second of one pass over the region. It may run beside another process, so take the
  /// median or the best of several.
  virtual double measure() = 0;
};

/// The median of five passes over a fresh region, in bytes per second.
Result<double> measure_read_bandwidth(int threads, int64_t bytes);

}  // namespace tutti
