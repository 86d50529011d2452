// Libraries that are opened when they are needed and named when they are missing.
#pragma once
#include <string>
#include <vector>

#include "base/status.h"

namespace tutti::cuda {

struct SharedLibrary {
  void* handle = nullptr;  ///< of dlopen; never closed
  std::string path;        ///< as it was found
};

/// By the search path of the loader, then in `directories`. kUnavailable: "`what` was not found",
/// what was tried, and `remedy`.
Result<SharedLibrary> open_shared_library(const char* soname,
                                          const std::vector<std::string>& directories,
                                          const char* what,
                                          const char* remedy);

}  // namespace tutti::cuda
