// What the engines behind a gateway see of the machine's GPUs.
#pragma once
#include <vector>

#include "serve/remote_models.h"
#include "watch/gpu_status.h"

namespace tutti {

/// Asks each engine in turn and puts together what they say; one that does not answer within a
/// second is left out.
GpuStatus ask_engines_gpus(const std::vector<EngineAddress>& engines);

}  // namespace tutti
