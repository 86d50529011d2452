// The door between the core and libtutti_cuda.so. Status values cross it, exceptions do not. The
// build id must be equal on both sides: the interfaces behind this door are C++ and change with
// every build.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/gpu_choice.h"
#include "backend/peer_report.h"
#include "base/check.h"

namespace tutti {

struct CudaPluginRequest {
  const char* build_id = nullptr;
  CheckHandler on_check_failed = nullptr;  ///< for the plugin's copy of base/check.h
  GpuChoice gpus;
  int ranks_per_gpu = 1;
  std::optional<std::string> visible_devices;  ///< CUDA_VISIBLE_DEVICES, for messages
  /// Whether ranks on these GPUs (by CUDA's index) may use each other's memory. Several are tested,
  /// which takes seconds, and the verdict is logged: ask once.
  std::function<bool(const std::vector<int>& gpus)> peers_usable;
};

/// Fills *backend, or *status says why not.
using CudaPluginEntry = void (*)(const CudaPluginRequest& request,
                                 Status* status,
                                 std::unique_ptr<Backend>* backend);

/// Tests each pair in this process and tells of it, or *status says why none was tested.
using CudaPeerEntry = void (*)(const CudaPluginRequest& request,
                               const std::vector<PeerResult>& pairs,
                               const PeerSay& say,
                               Status* status);

/// A GPU as CUDA shows it to this process.
struct CudaGpuInfo {
  int index = 0;  ///< CUDA's, after CUDA_VISIBLE_DEVICES
  std::string name;
  std::string uuid;            ///< "GPU-8932f937-...", MIG-... for a part of one
  std::string pci;             ///< "0000:18:00.0"
  int compute_capability = 0;  ///< 90 for 9.0
  int multiprocessors = 0;
  int64_t memory_bytes = 0;
};

/// Fills *gpus, or *status says why CUDA shows none. Takes no memory of a GPU.
using CudaListEntry = void (*)(const CudaPluginRequest& request,
                               std::vector<CudaGpuInfo>* gpus,
                               Status* status);

/// *version becomes the toolkit's, 13000 for 13.0, or *status says that the plugin is of another
/// build. CUDA is not asked.
using CudaToolkitEntry = void (*)(const CudaPluginRequest& request, int* version, Status* status);

inline constexpr const char* kCudaPluginLibrary = "libtutti_cuda.so";
inline constexpr const char* kCudaPluginSymbol = "tutti_cuda_open";
inline constexpr const char* kCudaPeerSymbol = "tutti_cuda_check_peers";
inline constexpr const char* kCudaListSymbol = "tutti_cuda_list_gpus";
inline constexpr const char* kCudaToolkitSymbol = "tutti_cuda_toolkit";

/// Identifies this build: version, compiler, and a hash of the headers that cross the door
/// (cmake/BuildId.cmake).
const char* build_id();

}  // namespace tutti
