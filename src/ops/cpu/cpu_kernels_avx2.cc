// The kernels for AVX2, FMA and F16C; CMakeLists.txt sets the flags of this file.
#include "ops/cpu/kernel_table.h"

namespace tutti::cpu {

const CpuKernels kAvx2Kernels = make_kernels();

}  // namespace tutti::cpu
