// The door between the core and libtutti_cuda.so. Status values cross it, exceptions do not. The
// build id must be equal on both sides: the interfaces behind this door are C++ and change with
// every build.
#pragma once
#include "backend/backend.h"

namespace tutti {

struct CudaPluginRequest {
  const char* build_id;
};

/// Fills *backend, or *status says why not.
using CudaPluginEntry = void (*)(const CudaPluginRequest& request,
                                 Status* status,
                                 std::unique_ptr<Backend>* backend);

inline constexpr const char* kCudaPluginLibrary = "libtutti_cuda.so";
inline constexpr const char* kCudaPluginSymbol = "tutti_cuda_open";

/// Identifies this build: version and compiler.
const char* build_id();

}  // namespace tutti
