// Texts as users see them in logs and threads, and what each is taken for.
#include "base/known_failures.h"

#include <array>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/ascii.h"

namespace tutti {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Seen {
  const char* text;
  const char* id;
};

constexpr auto kSeen = std::to_array<Seen>({
    // clang-format off
    {"NCCL WARN Error: failed to extend /dev/shm/nccl-Yq5Kfa to 9637892 bytes", "shm.full"},
    {"NCCL WARN Call to posix_fallocate failed : No space left on device", "shm.full"},
    {"Error while creating shared memory segment /dev/shm/nccl-a1B2 (size 9637888), error: No space left on device (28)", "shm.full"},
    {"NCCL WARN Error while creating shared memory segment /dev/shm/nccl-oZUUVs (size 5767520)", "shm.full"},
    {"NCCL WARN Error while attaching to shared memory segment /dev/shm/nccl- (size 0)", "shm.mixed"},
    {"NCCL WARN Cuda failure 'invalid argument'; Error while creating shared memory segment /dev/shm/nccl-1 (size 9637888)", "shm.register"},
    {"NCCL WARN Error: failed to create shared memory file /dev/shm/nccl-XXXXXX: Permission denied", "shm.closed"},
    {"unlink shared memory /dev/shm/nccl-7 failed, error: No such file or directory", "shm.removed"},
    {"NCCL WARN P2P is disabled between NVLINK connected GPUs 1 and 0. This should not be the case given their connectivity", "p2p.nvlink_off"},
    {"transport/nvls.cc:169 NCCL WARN Failed to bind NVLink SHARP (NVLS) Multicast memory of size 2097152 : CUDA error 401", "nvls.bind"},
    {"the operation cannot be performed in the present state", "nvls.state"},
    {"NCCL WARN Could not enable P2P between dev 0(=18000) and dev 1(=2a000)", "p2p.enable"},
    {"cudaDeviceEnablePeerAccess: peer access is not supported between these two devices (cudaErrorPeerAccessUnsupported)", "p2p.unsupported"},
    {"peer mapping resources exhausted (cudaErrorTooManyPeers)", "p2p.too_many"},
    {"Legacy IPC not supported", "p2p.ipc_wsl"},
    {"all_reduce: uncorrectable NVLink error detected during the execution (cudaErrorNvlinkUncorrectable)", "nvlink.uncorrectable"},
    {"cuMemCreate failed: CUDA_ERROR_NOT_PERMITTED operation not permitted", "fabric.imex"},
    {"cuMemSetAccess(ptr, size): invalid argument", "fabric.imex"},
    {"cudaGetDeviceCount: system not yet initialized (cudaErrorSystemNotReady)", "cuda.fabric_manager"},
    {"RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized", "cuda.fabric_manager"},
    {"Error 803: system has unsupported display driver / cuda driver combination", "cuda.mismatch"},
    {"Error 804: forward compatibility was attempted on non supported HW", "cuda.compat"},
    {"cudaGetDeviceCount: CUDA driver version is insufficient for CUDA runtime version (cudaErrorInsufficientDriver)", "cuda.old_driver"},
    {"the provided PTX was compiled with an unsupported toolchain.", "cuda.ptx"},
    {"cudaGetDeviceCount: no CUDA-capable device is detected (cudaErrorNoDevice)", "cuda.no_device"},
    {"CUDA error: invalid device ordinal", "cuda.ordinal"},
    {"CUDA error: all CUDA-capable devices are busy or unavailable", "cuda.busy"},
    {"CUDA error: no kernel image is available for execution on the device", "cuda.architecture"},
    {"OS call failed or operation not supported on this OS (cudaErrorOperatingSystem)", "cuda.os_call"},
    {"libcuda.so.1: cannot open shared object file: No such file or directory", "cuda.libcuda"},
    {"libnvidia-ml.so.1: cannot open shared object file: No such file or directory", "cuda.libnvml"},
    {"rank 1: matmul: uncorrectable ECC error encountered (cudaErrorECCUncorrectable)", "cuda.ecc"},
    {"nvmlDeviceGetHandleByIndex_v2: the GPU has fallen off the bus", "cuda.lost"},
    {"Unable to determine the device handle for GPU0000:4E:00.0: GPU is lost. Reboot the system to recover this GPU", "cuda.lost"},
    {"an illegal memory access was encountered (cudaErrorIllegalAddress)", "cuda.address"},
    {"CUDA error: unspecified launch failure", "cuda.launch"},
    {"the launch timed out and was terminated (cudaErrorLaunchTimeout)", "cuda.timeout"},
    {"MPS client failed to connect to the MPS control daemon or the MPS server", "cuda.mps"},
    {"CUDA out of memory. Tried to allocate 2.00 GiB", "cuda.memory"},
    {"cudaMalloc of 5 GiB: out of memory (cudaErrorMemoryAllocation)", "cuda.memory"},
    {"Failed to initialize NVML: Driver/library version mismatch", "nvml.mismatch"},
    {"Failed to initialize NVML: Unknown Error", "nvml.cgroup"},
    {"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "nvml.not_loaded"},
    {"nvmlInit_v2: the driver is not loaded", "nvml.not_loaded"},
    {"nvml: no answer within 20 s: a GPU or its driver hangs", "nvml.hang"},
    {"GPU requires reset", "nvml.reset"},
    {"NVRM: GPU 0000:18:00.0: RmInitAdapter failed! (0x24:0x65:1521)", "gpu.rminit"},
    {"NVRM: This PCI I/O region assigned to your NVIDIA device is invalid:", "gpu.bar"},
    {"ncclInvalidUsage: Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 1a000", "nccl.same_gpu"},
    {"NCCL WARN Multiple Ranks are using the same GPU/Partition", "nccl.same_gpu"},
    {"NCCL WARN Mismatched NCCL version detected : rank 0 22807 rank 1 22105", "nccl.version"},
    {"NCCL WARN Bootstrap : no socket interface found", "nccl.interface"},
    {"NCCL WARN Call to ibv_reg_mr_iova2 failed with error Cannot allocate memory", "nccl.memlock"},
    {"socketPollConnect: connect to 10.0.0.7<36513> failed : Connection refused", "nccl.refused"},
    {"ncclRemoteError: A call failed possibly due to a network error or a remote process exited or there was a network error", "nccl.remote"},
    {"[Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=12)", "nccl.timeout"},
    {"RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)", "nccl.system"},
    {"ncclUnhandledCudaError: Call to CUDA function failed; unhandled cuda error", "nccl.cuda"},
    {"ValueError: Total number of attention heads (52) must be divisible by tensor parallel size (3).", "heads.divide"},
    {"ValueError: invalid literal for int() with base 10: 'GPU-8932f937-d72c-4106-c12f-20bd9faed9f6'", "uuid.integer"},
    {"ValueError: invalid literal for int() with base 10: 'MIG-8932f937'", "uuid.integer"},
    {"Model architectures ['Qwen3ForCausalLM'] failed to be inspected. Please check the logs for more details.", "vllm.inspection"},
    {"The model's max seq len (131072) is larger than the maximum number of tokens that can be stored in KV cache (52848).", "context.memory"},
    {"ValueError: The memory capacity is unbalanced. Some GPUs may be occupied by other processes.", "memory.uneven"},
    {"Caught signal 11 in libnccl.so.2: ncclCuMemHostEnable", "nccl.cumem_host"},
    {"NCCL WARN Error : could not map /dev/shm/nccl-BpbKDR: Cannot allocate memory", "shm.map"},
    {"CUDA error: initialization error", "cuda.init"},
    {"operation not permitted when stream is capturing (cudaErrorStreamCaptureUnsupported)", "cuda.capture"},
    {"nvlsAllocateMem: NVLS Multicast bind failed: CUDA error 401", "nvls.bind"},
    {"cudaErrorContained: an error of memory was contained", "cuda.contained"},
    {"cudaErrorHardwareStackError", "cuda.hardware"},
    {"GPU power cable is not connected", "nvml.power"},
    {"dmabuf registration failed: Cannot allocate memory", "nccl.memlock"},
    {"cuMem host allocations are off: container without NUMA support", "nccl.numa"},
    // clang-format on
});

TEST(KnownFailures, TextsOfOthersAreTakenForWhatTheyMean) {
  static_assert(kSeen.size() >= 40);
  for (const Seen& seen : kSeen) {
    const KnownFailure* known = known_failure(seen.text);
    ASSERT_NE(known, nullptr) << seen.text;
    EXPECT_STREQ(known->id, seen.id) << seen.text;
  }
}

TEST(KnownFailures, OtherTextsAreNotTaken) {
  for (const char* text : {"",
                           "rank 0 waited 1.0 s for rank 1, which did not arrive",
                           "the model is still loading",
                           "port 9997 of 127.0.0.1 is taken",
                           "config.json: no such file",
                           "error 8020",
                           "out of host memory"}) {
    const KnownFailure* known = known_failure(text);
    EXPECT_EQ(known, nullptr) << text << " taken for " << known->id;
  }
}

TEST(KnownFailures, EveryRowIsWhole) {
  std::set<std::string> patterns;
  for (const KnownFailure& row : known_failures()) {
    EXPECT_TRUE(patterns.insert(row.pattern).second) << row.pattern << " twice";
    EXPECT_EQ(to_lower(row.pattern), row.pattern);
    for (const char* text : {row.id, row.cause, row.remedy}) {
      EXPECT_STRNE(text, "") << row.pattern;
      EXPECT_EQ(std::string_view(text).find('\n'), std::string_view::npos);
    }
    // No row before it may take its own text.
    std::string text;
    for (const char* c = row.pattern; *c != '\0'; ++c) {
      text += *c == '*' ? std::string(" x ") : std::string(1, *c);
    }
    ASSERT_NE(known_failure(text), nullptr);
    EXPECT_STREQ(known_failure(text)->id, row.id) << row.pattern;
  }
}

TEST(KnownFailures, AreExplainedOnce) {
  const std::string seen = "rank 1: matmul: uncorrectable ECC error encountered";
  const std::string once = explain_failure(seen);
  EXPECT_THAT(once, AllOf(HasSubstr(seen + ": "), HasSubstr(". To do: nvidia-smi -r")));
  EXPECT_EQ(explain_failure(once), once);
  EXPECT_EQ(explain_failure("something else"), "something else");
}

}  // namespace
}  // namespace tutti
