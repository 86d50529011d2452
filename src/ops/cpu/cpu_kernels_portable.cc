// The kernels for the compiler's default instruction set; CMakeLists.txt sets the flags of this
// file.
#include "ops/cpu/kernel_table.h"

namespace tutti::cpu {

const CpuKernels kPortableKernels = make_kernels();

}  // namespace tutti::cpu
