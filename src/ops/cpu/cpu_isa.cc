#include "ops/cpu/cpu_isa.h"

#if defined(TUTTI_X86_KERNELS)
#include <cpuid.h>
#endif

#include "base/check.h"
#include "ops/cpu/kernel_choice.h"

namespace tutti {

const char* cpu_isa_name(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kPortable:
      return "portable";
    case CpuIsa::kAvx2:
      return "avx2";
    case CpuIsa::kAvx512:
      return "avx512";
  }
  return "unknown";
}

#if defined(TUTTI_X86_KERNELS)
namespace {

// CPUID leaf 1, ECX bit 29; clang 14's __builtin_cpu_supports does not know the name.
bool has_f16c() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

}  // namespace
#endif

std::vector<CpuIsa> available_cpu_isas() {
  std::vector<CpuIsa> isas{CpuIsa::kPortable};
#if defined(TUTTI_X86_KERNELS)
  // These ask the operating system too, so registers it does not save are not reported.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
    isas.push_back(CpuIsa::kAvx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
      isas.push_back(CpuIsa::kAvx512);
    }
  }
#endif
  return isas;
}

namespace cpu {

const CpuKernels& kernels_for(CpuIsa isa) {
#if defined(TUTTI_X86_KERNELS)
  if (isa == CpuIsa::kAvx512) {
    return kAvx512Kernels;
  }
  if (isa == CpuIsa::kAvx2) {
    return kAvx2Kernels;
  }
#endif
  TUTTI_CHECK(isa == CpuIsa::kPortable);
  return kPortableKernels;
}

}  // namespace cpu
}  // namespace tutti
