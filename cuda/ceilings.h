// What one GPU delivers at most, measured: the rooflines that everything else is compared with.
#pragma once
#include "backend/backend.h"
#include "cuda/device_probe.h"

namespace tutti::cuda {

/// The best of a few passes each, on a stream and memory of its own; takes a tenth of a second and
/// up to 2 GiB. Matrix products are cuBLASLt's, 8192 x 8192 x 8192.
Result<Ceilings> measure_ceilings(const CudaDeviceInfo& gpu, DType compute);

}  // namespace tutti::cuda
