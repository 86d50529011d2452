// Measures which way each size travels fastest, on all ranks at the same time.
#pragma once
#include <vector>

#include "cuda/comm/peer_communicator.h"

namespace tutti::cuda {

class PeerTuner {
 public:
  /// Throws DeviceError if there is no memory for the largest message (32 MiB).
  PeerTuner(PeerCommunicator& ranks, CudaDevice& device, CudaStream& stream);

  /// 4 KiB to 32 MiB of bf16. Waits for the stream. Ranks measure differently: one decides.
  std::vector<PeerSample> measure();

 private:
  double seconds(PeerAlgorithm by, int64_t bytes);

  PeerCommunicator& ranks_;
  CudaDevice& device_;
  CudaStream& stream_;
  Buffer memory_;
  std::vector<std::unique_ptr<Timer>> timers_;
};

}  // namespace tutti::cuda
