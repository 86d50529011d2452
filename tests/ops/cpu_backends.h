// One test backend per instruction set of this machine.
#pragma once
#include "ops/cpu/cpu_ops.h"
#include "ops/op_case.h"
#include "ops/ref/ref_ops.h"

namespace tutti::test {

inline std::unique_ptr<TestBackend> cpu_backend(CpuIsa isa, int threads) {
  return std::make_unique<TestBackend>(
      std::string(cpu_isa_name(isa)) + " with " + std::to_string(threads) + " threads",
      make_cpu_ops({.threads = threads, .isa = isa, .spin_us = 5}));
}

inline std::vector<std::unique_ptr<TestBackend>> cpu_backends() {
  std::vector<std::unique_ptr<TestBackend>> backends;
  for (const CpuIsa isa : available_cpu_isas()) {
    backends.push_back(cpu_backend(isa, 2));
  }
  return backends;
}

}  // namespace tutti::test
