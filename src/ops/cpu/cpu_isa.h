// Instruction sets the CPU kernels are built for, chosen at run time.
#pragma once
#include <vector>

namespace tutti {

enum class CpuIsa {
  kPortable,  ///< what the compiler targets by default: SSE2 on x86-64, NEON on AArch64
  kAvx2,      ///< AVX2, FMA and F16C
  kAvx512,    ///< AVX-512 F, BW, VL and DQ
};

const char* cpu_isa_name(CpuIsa isa);

/// Those this machine can run and this build contains, slowest first. Never empty.
std::vector<CpuIsa> available_cpu_isas();

}  // namespace tutti
