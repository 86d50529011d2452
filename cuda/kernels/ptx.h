// The few PTX instructions the kernels use, one function each. Everything that needs sm_90a is
// marked; calling it elsewhere is a compile-time choice of the kernel, never of this file.
#pragma once
#include <cstdint>

#include <cuda.h>
#include <cuda_bf16.h>

#include "cuda/ops/overlap.cuh"

namespace tutti::cuda {

/// Set where the warp-group matrix instructions and the tensor memory accelerator of Hopper exist.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define TUTTI_HAS_WGMMA 1
#else
#define TUTTI_HAS_WGMMA 0
#endif

__device__ __forceinline__ uint32_t smem_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

/// Bytes from the start of dynamic shared memory to the next multiple of 1024. Added to the array
/// itself, so that the compiler keeps knowing that it is shared.
__device__ __forceinline__ uint32_t bytes_to_align(const void* shared) {
  return (1024U - (smem_address(shared) & 1023U)) & 1023U;
}

// --- programmatic dependent launch (sm_90 and later; nothing before)
// -------------------------------

// --- asynchronous copies of sm_80
// ------------------------------------------------------------------

/// 16 bytes from global to shared memory, past the L1 cache. With `valid` false the 16 bytes become
/// 0.
__device__ __forceinline__ void copy_async_16(void* to, const void* from, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(smem_address(to)), "l"(from), "r"(bytes)
      : "memory");
}

__device__ __forceinline__ void copy_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int kPending>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// --- matrix fragments of one warp
// ------------------------------------------------------------------

/// Four 8x8 matrices of 16-bit values; lane l gives the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void load_matrix_x4(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

__device__ __forceinline__ void load_matrix_x4_transposed(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

/// d[16, 8] += a[16, 16] * b[16, 8], bf16 in, f32 sums.
__device__ __forceinline__ void mma_bf16(float (&d)[4],
                                         const uint32_t (&a)[4],
                                         uint32_t b0,
                                         uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// The same with f16 in.
__device__ __forceinline__ void mma_f16(float (&d)[4],
                                        const uint32_t (&a)[4],
                                        uint32_t b0,
                                        uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Two floats rounded to bf16, the first in the low half.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

/// 2^x with the special function unit; 2^-inf = 0.
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// --- clusters of thread blocks (sm_90 and later)
// ---------------------------------------------------------------------------------------------

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

/// This block's number in its cluster.
__device__ __forceinline__ unsigned cluster_rank() {
  unsigned rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

/// All threads of all blocks of the cluster; what they wrote to shared memory is visible then.
__device__ __forceinline__ void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::
                   : "memory");
}

/// The 16 bytes that lie at `local` in the shared memory of block `rank` of the cluster.
__device__ __forceinline__ float4 load_of_cluster(const float4* local, unsigned rank) {
  float4 v;
  asm volatile(
      "{\n.reg .u32 there;\nmapa.shared::cluster.u32 there, %4, %5;\n"
      "ld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [there];\n}\n"
      : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
      : "r"(smem_address(local)), "r"(rank)
      : "memory");
  return v;
}

#endif

// --- barriers in shared memory, tensor memory accelerator, warp-group matrix product (sm_90a)
// --------

__device__ __forceinline__ void barrier_init(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(smem_address(barrier)), "r"(arrivals)
               : "memory");
}

__device__ __forceinline__ void barrier_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(smem_address(barrier)) : "memory");
}

#if TUTTI_HAS_WGMMA

__device__ __forceinline__ void barrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

/// One arrival that also announces `bytes` which asynchronous copies will bring.
__device__ __forceinline__ void barrier_expect(uint64_t* barrier, uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(smem_address(barrier)),
      "r"(bytes)
      : "memory");
}

/// Waits until the phase of this parity has completed.
__device__ __forceinline__ void barrier_wait(uint64_t* barrier, uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}\n" ::"r"(smem_address(barrier)),
      "r"(parity)
      : "memory");
}

/// A box of a two-dimensional tensor at element (x, y) to shared memory.
__device__ __forceinline__ void tma_load_2d(
    void* to, const CUtensorMap* map, int x, int y, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3}], [%4];" ::"r"(smem_address(to)),
      "l"(map),
      "r"(x),
      "r"(y),
      "r"(smem_address(barrier))
      : "memory");
}

__device__ __forceinline__ void tma_prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/// Makes ordinary writes to shared memory visible to the matrix units and the copy engine.
__device__ __forceinline__ void fence_async_proxy() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

template <int kThreads>
__device__ __forceinline__ void named_barrier(int id) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "n"(kThreads) : "memory");
}

template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

template <int kRegisters>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

/// Descriptor of a matrix operand in shared memory with the 128-byte swizzle. The tile starts at a
/// multiple of 1024 bytes, or inside one at a multiple of 32 bytes along its contiguous dimension.
/// `leading_bytes` and `stride_bytes` as in the PTX manual's "matrix descriptor".
__device__ __forceinline__ uint64_t swizzled_operand(uint32_t address,
                                                     uint32_t leading_bytes,
                                                     uint32_t stride_bytes) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  return kSwizzle128 | (static_cast<uint64_t>(stride_bytes >> 4) << 32) |
         (static_cast<uint64_t>(leading_bytes >> 4) << 16) |
         static_cast<uint64_t>((address & 0x3FFFF) >> 4);
}

__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Keeps the compiler from moving uses of accumulators across a wait it cannot see through.
template <int kCount>
__device__ __forceinline__ void wgmma_pin(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    asm volatile("" : "+f"(d[i])::"memory");
  }
}

#define TUTTI_REGS_8(d, i)                                                                        \
  "+f"((d)[(i)]), "+f"((d)[(i) + 1]), "+f"((d)[(i) + 2]), "+f"((d)[(i) + 3]), "+f"((d)[(i) + 4]), \
      "+f"((d)[(i) + 5]), "+f"((d)[(i) + 6]), "+f"((d)[(i) + 7])
#define TUTTI_REGS_32(d) \
  TUTTI_REGS_8(d, 0), TUTTI_REGS_8(d, 8), TUTTI_REGS_8(d, 16), TUTTI_REGS_8(d, 24)
#define TUTTI_REGS_64(d)                                                           \
  TUTTI_REGS_32(d), TUTTI_REGS_8(d, 32), TUTTI_REGS_8(d, 40), TUTTI_REGS_8(d, 48), \
      TUTTI_REGS_8(d, 56)
#define TUTTI_LIST_32                                                                  \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22," \
  "%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define TUTTI_LIST_64                                                                     \
  TUTTI_LIST_32                                                                           \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52," \
  "%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"

/// d[64, 128] (+)= a[64, 16] * b[128, 16]^T; both operands in shared memory, contiguous along k.
__device__ __forceinline__ void wgmma_m64n128k16_ss(float (&d)[64],
                                                    uint64_t a,
                                                    uint64_t b,
                                                    int accumulate) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" TUTTI_LIST_64
      "}, %64, %65, p, 1, 1, 0, 0;\n}\n"
      : TUTTI_REGS_64(d)
      : "l"(a), "l"(b), "r"(accumulate));
}

/// d[64, 128] += a[64, 16] * b[16, 128]; a in registers, b in shared memory, contiguous along n.
__device__ __forceinline__ void wgmma_k16_rs(float (&d)[64], const uint32_t* a, uint64_t b) {
  asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" TUTTI_LIST_64
               "}, {%64,%65,%66,%67}, %68, 1, 1, 1, 1;\n"
               : TUTTI_REGS_64(d)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

/// d[64, 64] += a[64, 16] * b[16, 64]; as above.
__device__ __forceinline__ void wgmma_k16_rs(float (&d)[32], const uint32_t* a, uint64_t b) {
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" TUTTI_LIST_32
               "}, {%32,%33,%34,%35}, %36, 1, 1, 1, 1;\n"
               : TUTTI_REGS_32(d)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

#endif  // TUTTI_HAS_WGMMA

}  // namespace tutti::cuda
