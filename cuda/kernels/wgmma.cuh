// d[64, N] (+)= a[64, 32 bytes] * b[N, 32 bytes]^T by a warp group (sm_90a): both operands in
// shared memory, contiguous along k. The number of accumulators says N: N / 2 per thread.
#pragma once
#include "cuda/kernels/ptx.h"

namespace tutti::cuda {

#if TUTTI_HAS_WGMMA

#define TUTTI_REGS_16(d) TUTTI_REGS_8(d, 0), TUTTI_REGS_8(d, 8)
#define TUTTI_LIST_8 "%0,%1,%2,%3,%4,%5,%6,%7"
#define TUTTI_LIST_16 TUTTI_LIST_8 ",%8,%9,%10,%11,%12,%13,%14,%15"

// The numbers behind the accumulators: both descriptors and whether to add.
#define TUTTI_WGMMA(suffix, count, list, regs, a_arg, b_arg, add_arg, n, k, types, flags)  \
  __device__ __forceinline__ void wgmma_##suffix(                                          \
      float(&d)[count], uint64_t a, uint64_t b, int accumulate) {                          \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_arg                               \
                 ", 0;\nwgmma.mma_async.sync.aligned.m64n" n "k" k ".f32." types " {" list \
                 "}, " a_arg ", " b_arg ", p, 1, 1" flags ";\n}\n"                         \
                 : regs                                                                    \
                 : "l"(a), "l"(b), "r"(accumulate));                                       \
  }

TUTTI_WGMMA(
    bf16, 8, TUTTI_LIST_8, TUTTI_REGS_8(d, 0), "%8", "%9", "%10", "16", "16", "bf16.bf16", ", 0, 0")
TUTTI_WGMMA(bf16,
            16,
            TUTTI_LIST_16,
            TUTTI_REGS_16(d),
            "%16",
            "%17",
            "%18",
            "32",
            "16",
            "bf16.bf16",
            ", 0, 0")
TUTTI_WGMMA(bf16,
            32,
            TUTTI_LIST_32,
            TUTTI_REGS_32(d),
            "%32",
            "%33",
            "%34",
            "64",
            "16",
            "bf16.bf16",
            ", 0, 0")
TUTTI_WGMMA(bf16,
            64,
            TUTTI_LIST_64,
            TUTTI_REGS_64(d),
            "%64",
            "%65",
            "%66",
            "128",
            "16",
            "bf16.bf16",
            ", 0, 0")
TUTTI_WGMMA(
    e4m3, 8, TUTTI_LIST_8, TUTTI_REGS_8(d, 0), "%8", "%9", "%10", "16", "32", "e4m3.e4m3", "")
TUTTI_WGMMA(
    e4m3, 16, TUTTI_LIST_16, TUTTI_REGS_16(d), "%16", "%17", "%18", "32", "32", "e4m3.e4m3", "")
TUTTI_WGMMA(
    e4m3, 32, TUTTI_LIST_32, TUTTI_REGS_32(d), "%32", "%33", "%34", "64", "32", "e4m3.e4m3", "")
TUTTI_WGMMA(
    e4m3, 64, TUTTI_LIST_64, TUTTI_REGS_64(d), "%64", "%65", "%66", "128", "32", "e4m3.e4m3", "")

#undef TUTTI_WGMMA

/// Four 8x8 matrices of 16-bit values, transposed, to shared memory; lane l gives the address of
/// row l % 8 of matrix l / 8.
__device__ __forceinline__ void store_matrix_x4_transposed(uint32_t address,
                                                           const uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(address),
               "r"(r[0]),
               "r"(r[1]),
               "r"(r[2]),
               "r"(r[3])
               : "memory");
}

/// This thread's arrival, once its asynchronous copies of sm_80 so far have come; one of the
/// arrivals that the barrier was made for.
__device__ __forceinline__ void barrier_arrive_after_copies(uint64_t* barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(smem_address(barrier))
               : "memory");
}

/// 4 bytes from global to shared memory. With `valid` false they become 0.
__device__ __forceinline__ void copy_async_4(void* to, const void* from, bool valid) {
  const int bytes = valid ? 4 : 0;
  asm volatile(
      "cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(smem_address(to)), "l"(from), "r"(bytes)
      : "memory");
}

#endif  // TUTTI_HAS_WGMMA

}  // namespace tutti::cuda
