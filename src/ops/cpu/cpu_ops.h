// The fast CPU implementation of Ops: vectorised kernels and a pool of threads.
#pragma once
#include <memory>
#include <optional>

#include "ops/cpu/cpu_isa.h"
#include "ops/ops.h"

namespace tutti {

struct CpuOpsConfig {
  int threads = 1;             ///< including the calling thread
  std::optional<CpuIsa> isa;   ///< default: the fastest one available; must be available
  std::optional<int> spin_us;  ///< how long idle threads spin; default: less if CPUs are scarce
};

/// One object serves one rank thread. Bits of results depend on the instruction set, not on
/// `threads`.
std::unique_ptr<Ops> make_cpu_ops(const CpuOpsConfig& config);

}  // namespace tutti
