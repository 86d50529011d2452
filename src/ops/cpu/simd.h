// The vector wrapper `Simd` of the file being compiled. CMakeLists.txt compiles one file per
// instruction set and says which with these macros, together with the compiler flags.
#pragma once
#if defined(TUTTI_SIMD_AVX512)
#include "ops/cpu/simd_avx512.h"
#elif defined(TUTTI_SIMD_AVX2)
#include "ops/cpu/simd_avx2.h"
#else
#include "ops/cpu/simd_portable.h"
#endif
