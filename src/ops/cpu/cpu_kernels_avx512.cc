// The kernels for AVX-512; CMakeLists.txt sets the flags of this file.
#include "ops/cpu/kernel_table.h"

namespace tutti::cpu {

const CpuKernels kAvx512Kernels = make_kernels();

}  // namespace tutti::cpu
