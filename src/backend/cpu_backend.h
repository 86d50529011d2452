// Ranks as threads of this process; each has its share of the CPUs for the loops inside its ops.
#pragma once
#include <memory>

#include "backend/backend.h"

namespace tutti {

struct CpuBackendOptions {
  int threads = 0;         ///< over all ranks; 0 = every CPU this process may use
  bool reference = false;  ///< slow reference ops, for comparisons
};

std::unique_ptr<Backend> make_cpu_backend(const CpuBackendOptions& options);

}  // namespace tutti
