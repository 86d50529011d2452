// The door between the core and libtutti_cuda.so. Status values cross it, exceptions do not. The
// build id must be equal on both sides: the interfaces behind this door are C++ and change with
// every build.
#pragma once
#include <vector>

#include "backend/backend.h"
#include "base/check.h"

namespace tutti {

struct CudaPluginRequest {
  const char* build_id = nullptr;
  CheckHandler on_check_failed = nullptr;  ///< for the plugin's copy of base/check.h
  int gpu_count = 0;                       ///< use this many GPUs, from the first on; 0 = all
  std::vector<int> gpus;                   ///< or these; empty = by count
};

/// Fills *backend, or *status says why not.
using CudaPluginEntry = void (*)(const CudaPluginRequest& request,
                                 Status* status,
                                 std::unique_ptr<Backend>* backend);

inline constexpr const char* kCudaPluginLibrary = "libtutti_cuda.so";
inline constexpr const char* kCudaPluginSymbol = "tutti_cuda_open";

/// Identifies this build: version, compiler, and a hash of the headers that cross the door
/// (cmake/BuildId.cmake).
const char* build_id();

}  // namespace tutti
