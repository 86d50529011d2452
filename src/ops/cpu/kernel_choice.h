// The kernels of an instruction set.
#pragma once
#include "ops/cpu/cpu_isa.h"
#include "ops/cpu/cpu_kernels.h"

namespace tutti::cpu {

/// `isa` must be one of available_cpu_isas().
const CpuKernels& kernels_for(CpuIsa isa);

}  // namespace tutti::cpu
