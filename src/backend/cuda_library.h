// The core's side of the door to libtutti_cuda.so (backend/cuda_plugin.h).
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/cuda_plugin.h"
#include "backend/peer_report.h"
#include "backend/select.h"

namespace tutti {

/// Opens the library and asks it for a backend. kNotFound and kInvalidArgument are about `gpus`,
/// and the GPUs are sound; kUnavailable names the first thing that is wrong.
Result<std::unique_ptr<Backend>> open_cuda_backend(const BackendQuery& query);

/// Moves data between the GPUs of each pair, in this process, and tells of each. kUnavailable: no
/// pair was tested.
Status test_peers(const std::vector<std::string>& plugin_paths,
                  const std::vector<PeerResult>& pairs,
                  const PeerSay& say);

struct CudaPluginFacts {
  std::string path;
  std::string toolkit;  ///< of CUDA, that it was built with: "13.0"
};

/// kUnavailable: there is no plugin, it does not load, or it is of another build.
Result<CudaPluginFacts> cuda_plugin_facts(const std::vector<std::string>& plugin_paths);

/// The GPUs that CUDA shows to this process. kUnavailable says why there are none, or why CUDA
/// could not be asked. `visible_devices`: CUDA_VISIBLE_DEVICES, for messages.
Result<std::vector<CudaGpuInfo>> list_cuda_gpus(const std::vector<std::string>& plugin_paths,
                                                const std::optional<std::string>& visible_devices);

}  // namespace tutti
