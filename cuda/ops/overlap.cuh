// Programmatic dependent launch: a kernel is put in place while its predecessor still runs, which
// hides most of what a launch costs. Both sides must say where they stand.
//
// A kernel that lets the next one start before it has waited itself makes chains: several kernels
// may be in place at once, the last of them while the first still runs. Matrix products end such
// chains: they let the next kernel start only after they have waited. So whatever lies before the
// last product of a stream has finished when any kernel behind that product begins, and may be read
// without waiting; attention does so with what the first kernels of a step prepare.
#pragma once
#include <utility>

#include <cuda_runtime_api.h>

namespace tutti::cuda {

/// Waits until the kernel launched before this one on the stream has finished and its writes are
/// visible. What came before the call may only touch data that no earlier kernel writes.
__device__ __forceinline__ void wait_for_previous_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel start its prologue while this one still runs.
__device__ __forceinline__ void let_next_kernel_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// The first statement of a kernel that has nothing to do before its inputs are there.
__device__ __forceinline__ void take_turn() {
  let_next_kernel_start();
  wait_for_previous_kernel();
}

struct OverlappedLaunch {
  dim3 grid;
  unsigned threads = 0;
  size_t shared_bytes = 0;  ///< dynamic
  cudaStream_t stream = nullptr;
  unsigned cluster = 1;  ///< blocks along x that share their shared memory (sm_90)
};

/// Launches a kernel that waits for its predecessor by itself.
template <class... Parameters, class... Arguments>
cudaError_t launch_overlapped(void (*kernel)(Parameters...),
                              const OverlappedLaunch& launch,
                              Arguments&&... arguments) {
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {launch.cluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = launch.grid;
  config.blockDim = dim3(launch.threads);
  config.dynamicSmemBytes = launch.shared_bytes;
  config.stream = launch.stream;
  config.attrs = attributes;
  config.numAttrs = launch.cluster > 1 ? 2 : 1;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

template <class... Parameters, class... Arguments>
cudaError_t launch_overlapped(void (*kernel)(Parameters...),
                              dim3 grid,
                              unsigned threads,
                              cudaStream_t stream,
                              Arguments&&... arguments) {
  return launch_overlapped(kernel,
                           OverlappedLaunch{.grid = grid, .threads = threads, .stream = stream},
                           std::forward<Arguments>(arguments)...);
}

}  // namespace tutti::cuda
