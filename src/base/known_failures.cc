#include "base/known_failures.h"

#include <array>

#include <fmt/format.h>

#include "base/ascii.h"

namespace tutti {

namespace {

constexpr const char* kShm =
    "remove left-over files (tutti doctor names them); docker run --shm-size=1g, compose shm_size: "
    "1g, "
    "Kubernetes: an emptyDir with medium: Memory at /dev/shm. tutti itself takes none of it";
constexpr const char* kFabric =
    "systemctl start nvidia-fabricmanager, of the driver's very version; then try again";
constexpr const char* kOffBus =
    "restart the machine; reseat the GPU, and exchange it if it happens again";
constexpr const char* kReset =
    "nvidia-smi -r -i GPU, or restart the machine; tutti doctor says which GPU";
constexpr const char* kReload =
    "restart the machine, or the container; or unload and load the nvidia modules";
constexpr const char* kOtherLibrary =
    "take folders named compat out of LD_LIBRARY_PATH; install driver 580 or later";
constexpr const char* kReport = "if it comes again: tutti doctor --dump FILE, and report a bug";

// Rows of one subject stand together. Texts are those that CUDA, NCCL and the driver print.
constexpr auto kRows = std::to_array<KnownFailure>({
    // clang-format off
    // /dev/shm
    {"shm.full", "failed to extend /dev/shm/nccl-", "/dev/shm is full: NCCL cannot make its buffers there", kShm},
    {"shm.full", "posix_fallocate*no space left on device", "/dev/shm is full: NCCL cannot make its buffers there", kShm},
    {"shm.full", "shared memory segment*no space left on device", "/dev/shm is full: NCCL cannot make its buffers there", kShm},
    {"shm.mixed", "attaching to shared memory segment*size 0", "ranks disagree on how NCCL shares host memory", "set NCCL_CUMEM_HOST_ENABLE to the same value (0) for all ranks"},
    {"shm.register", "cuda failure 'invalid argument'*shared memory segment", "CUDA does not take NCCL's shared memory: /dev/shm or the limit of locked memory is too small", "docker run --shm-size=1g --ulimit memlock=-1; Kubernetes: an emptyDir with medium: Memory at /dev/shm"},
    {"shm.full", "creating shared memory segment", "/dev/shm is too small, or full of files that dead processes left", kShm},
    {"shm.closed", "failed to create shared memory file", "/dev/shm cannot be written to", "mount -o remount,rw,mode=1777 /dev/shm"},
    {"shm.removed", "unlink shared memory*no such file", "systemd removes a user's shared memory at log-out", "RemoveIPC=no in /etc/systemd/logind.conf, then systemctl restart systemd-logind"},
    {"shm.map", "could not map*/dev/shm", "a limit of memory or of maps keeps shared memory from being mapped", "raise vm.max_map_count and the container's memory limit"},
    // Links between GPUs
    {"p2p.nvlink_off", "p2p is disabled between nvlink connected gpus", "an NVLink between two GPUs is broken, or the driver has switched it off", "nvidia-smi nvlink -s shows which; restart, then have the board looked at"},
    {"nvls.bind", "failed to bind nvlink sharp", "NVSwitch multicast is not configured: the Fabric Manager does not run, or a virtual machine lacks it", "systemctl start nvidia-fabricmanager; NCCL_NVLS_ENABLE=0 meanwhile, for programs that use NCCL"},
    {"nvls.bind", "multicast*cuda error 401", "NVSwitch multicast is not configured: the Fabric Manager does not run, or a virtual machine lacks it", "systemctl start nvidia-fabricmanager; NCCL_NVLS_ENABLE=0 meanwhile, for programs that use NCCL"},
    {"nvls.state", "operation cannot be performed in the present state", "the NVSwitch fabric is not ready", kFabric},
    {"p2p.enable", "could not enable p2p between dev", "the driver refuses peer access between two GPUs", "tutti doctor says why; tutti serve with P2P off goes through host memory"},
    {"p2p.unsupported", "peer access is not supported between these two devices", "two GPUs have no peer access: the chipset, the driver or their places on the bus forbid it", "tutti doctor says which gate is closed; collectives then go through host memory"},
    {"p2p.unsupported", "cudaerrorpeeraccessunsupported", "two GPUs have no peer access: the chipset, the driver or their places on the bus forbid it", "tutti doctor says which gate is closed; collectives then go through host memory"},
    {"p2p.too_many", "cudaerrortoomanypeers", "a GPU has peer access to as many others as it can", "use fewer GPUs of this machine at once"},
    {"p2p.ipc_wsl", "legacy ipc not supported", "WSL has no shared GPU memory between processes", "one process for all GPUs, as tutti does"},
    {"nvlink.uncorrectable", "uncorrectable nvlink error", "an NVLink lost data", "nvidia-smi nvlink -e counts them; restart, then have the board looked at"},
    {"nvlink.uncorrectable", "cudaerrornvlinkuncorrectable", "an NVLink lost data", "nvidia-smi nvlink -e counts them; restart, then have the board looked at"},
    {"fabric.imex", "cumemcreate*operation not permitted", "memory for several hosts was asked for, and nvidia-imex does not run or its channel is not in the container", "run nvidia-imex and give the container /dev/nvidia-caps-imex-channels; one host needs neither"},
    {"fabric.imex", "cumemsetaccess*invalid argument", "memory for several hosts was asked for, and nvidia-imex does not run or its channel is not in the container", "run nvidia-imex and give the container /dev/nvidia-caps-imex-channels; one host needs neither"},
    // Starting CUDA
    {"cuda.fabric_manager", "system not yet initialized", "the NVSwitch fabric is not ready: the Fabric Manager does not run, or is of another version than the driver (error 802)", kFabric},
    {"cuda.fabric_manager", "cudaerrorsystemnotready", "the NVSwitch fabric is not ready: the Fabric Manager does not run, or is of another version than the driver (error 802)", kFabric},
    {"cuda.fabric_manager", "error 802", "the NVSwitch fabric is not ready: the Fabric Manager does not run, or is of another version than the driver (error 802)", kFabric},
    {"cuda.mismatch", "unsupported display driver / cuda driver combination", "libcuda and the kernel module are of different drivers (error 803)", kOtherLibrary},
    {"cuda.mismatch", "cudaerrorsystemdrivermismatch", "libcuda and the kernel module are of different drivers (error 803)", kOtherLibrary},
    {"cuda.mismatch", "error 803", "libcuda and the kernel module are of different drivers (error 803)", kOtherLibrary},
    {"cuda.compat", "forward compatibility was attempted on non supported hw", "a compatibility libcuda is found before the driver's, on a GPU that it does not serve (error 804)", kOtherLibrary},
    {"cuda.compat", "cudaerrorcompatnotsupportedondevice", "a compatibility libcuda is found before the driver's, on a GPU that it does not serve (error 804)", kOtherLibrary},
    {"cuda.compat", "error 804", "a compatibility libcuda is found before the driver's, on a GPU that it does not serve (error 804)", kOtherLibrary},
    {"cuda.old_driver", "driver version is insufficient for cuda runtime version", "the driver is too old for CUDA 13", "install driver 580 or later; a container uses the host's"},
    {"cuda.old_driver", "cudaerrorinsufficientdriver", "the driver is too old for CUDA 13", "install driver 580 or later; a container uses the host's"},
    {"cuda.ptx", "provided ptx was compiled with an unsupported toolchain", "the driver is too old for the program's kernels", "install driver 580 or later"},
    {"cuda.no_device", "no cuda-capable device is detected", "CUDA sees no GPU: hidden, not given to the container, or off the bus", "CUDA_VISIBLE_DEVICES unset; docker run --gpus all; tutti doctor counts GPUs on the bus"},
    {"cuda.ordinal", "invalid device ordinal", "CUDA_VISIBLE_DEVICES names a GPU that is not there", "tutti doctor lists GPUs; correct or unset the variable"},
    {"cuda.busy", "all cuda-capable devices are busy or unavailable", "another program has the GPU for itself (exclusive compute mode), or it is prohibited", "nvidia-smi -c 0; end the other program"},
    {"cuda.busy", "cudaerrordevicesunavailable", "another program has the GPU for itself (exclusive compute mode), or it is prohibited", "nvidia-smi -c 0; end the other program"},
    {"cuda.architecture", "no kernel image is available for execution on the device", "the program has no code for this GPU model", "build with CMAKE_CUDA_ARCHITECTURES of this GPU; tutti doctor names it"},
    {"cuda.os_call", "os call failed or operation not supported on this os", "the driver's device files are not open to this process, or nvidia-uvm is not loaded", "modprobe nvidia-uvm; docker run --gpus all; not --security-opt that forbids ioctl"},
    {"cuda.init", "initialization error", "CUDA was started in the parent of this process, or nvidia-uvm is not loaded", "modprobe nvidia-uvm; restart"},
    {"cuda.libcuda", "libcuda.so.1: cannot open shared object file", "there is no driver's library here", "install NVIDIA's driver; docker run --gpus all; Kubernetes: nvidia.com/gpu in the limits"},
    {"cuda.libnvml", "libnvidia-ml.so.1: cannot open shared object file", "there is no driver's library here", "install NVIDIA's driver; docker run --gpus all with NVIDIA_DRIVER_CAPABILITIES=compute,utility; Kubernetes: nvidia.com/gpu in the limits"},
    // While it runs
    {"cuda.ecc", "uncorrectable ecc error encountered", "the GPU's memory is broken in one place", kReset},
    {"cuda.ecc", "cudaerroreccuncorrectable", "the GPU's memory is broken in one place", kReset},
    {"cuda.lost", "gpu has fallen off the bus", "the GPU is off the bus: power, cable, riser, or the GPU itself (Xid 79)", kOffBus},
    {"cuda.lost", "gpu is lost", "the GPU is off the bus: power, cable, riser, or the GPU itself (Xid 79)", kOffBus},
    {"cuda.address", "an illegal memory access was encountered", "a kernel used memory that is not its own: a bug, or a sick GPU", kReport},
    {"cuda.address", "cudaerrormisalignedaddress", "a kernel used memory that is not its own: a bug, or a sick GPU", kReport},
    {"cuda.contained", "cudaerrorcontained", "an error of the GPU's memory ended this process alone (Xid 94)", "start again; tutti doctor shows rows that wait for a reset"},
    {"cuda.launch", "unspecified launch failure", "the GPU or its firmware (GSP) failed while it computed", "look for Xid 13, 31, 62, 119 or 120 in dmesg; nvidia-smi -r; a newer driver if it comes again"},
    {"cuda.hardware", "cudaerrorhardwarestackerror", "the GPU failed while it computed", kReset},
    {"cuda.timeout", "the launch timed out and was terminated", "a display runs on this GPU and the driver ends long kernels", "take another GPU for the display"},
    {"cuda.mps", "cudaerrormpsrpcfailure", "the MPS server of this machine is gone", "restart nvidia-cuda-mps-control, or unset CUDA_MPS_PIPE_DIRECTORY"},
    {"cuda.mps", "mps client failed to connect", "the MPS server of this machine is gone", "restart nvidia-cuda-mps-control, or unset CUDA_MPS_PIPE_DIRECTORY"},
    {"cuda.capture", "operation not permitted when stream is capturing", "something was called while work was recorded", kReport},
    {"cuda.memory", "cudaerrormemoryallocation", "the GPU has no memory left: another program took it meanwhile, or the plan was short", "tutti doctor names programs on the GPU; a smaller context or KV memory"},
    {"cuda.memory", "cuda*out of memory", "the GPU has no memory left: another program took it meanwhile, or the plan was short", "tutti doctor names programs on the GPU; a smaller context or KV memory"},
    {"cuda.memory", "cuda_error_out_of_memory", "the GPU has no memory left: another program took it meanwhile, or the plan was short", "tutti doctor names programs on the GPU; a smaller context or KV memory"},
    // NVML and the driver
    {"nvml.mismatch", "driver/library version mismatch", "the driver was updated and its kernel module was not loaded anew", kReload},
    {"nvml.mismatch", "library and kernel module are of different versions", "the driver was updated and its kernel module was not loaded anew", kReload},
    {"nvml.cgroup", "failed to initialize nvml: unknown error", "the container lost its access to the GPUs (systemctl daemon-reload, or the kubelet)", "make the container anew; CDI, or nvidia-ctk system create-dev-char-symlinks on the host, keeps it from coming back"},
    {"nvml.cgroup", "control group blocks access to the gpu", "the container lost its access to the GPUs (systemctl daemon-reload, or the kubelet)", "make the container anew; CDI, or nvidia-ctk system create-dev-char-symlinks on the host, keeps it from coming back"},
    {"nvml.not_loaded", "couldn't communicate with the nvidia driver", "the driver's kernel module is not loaded", "modprobe nvidia; after a new kernel, build the module again (dkms)"},
    {"nvml.not_loaded", "driver is not loaded", "the driver's kernel module is not loaded", "modprobe nvidia; after a new kernel, build the module again (dkms)"},
    {"nvml.hang", "no answer within*a gpu or its driver hangs", "a GPU or the driver does not answer", "look for Xid in dmesg; restart the machine"},
    {"nvml.reset", "gpu requires reset", "the driver wants the GPU reset", kReset},
    {"nvml.reset", "the gpu needs a reset", "the driver wants the GPU reset", kReset},
    {"nvml.power", "power cable", "the GPU's power cable is not connected", "connect it"},
    {"gpu.rminit", "rminitadapter failed", "the driver cannot start a GPU: its memory, power, or another driver that holds it", "dmesg names the GPU; restart; unload nouveau or vfio-pci if one of them has it"},
    {"gpu.bar", "this pci i/o region assigned to your nvidia device is invalid", "the firmware gave the GPU no address space", "switch on Above 4G Decoding in the firmware's settings"},
    // NCCL
    {"nccl.same_gpu", "multiple ranks are using the same gpu", "two ranks of NCCL have one GPU, or two parts of one", "one rank on each GPU; MIG off, or a copy on each part"},
    {"nccl.same_gpu", "duplicate gpu detected", "two ranks of NCCL have one GPU, or two parts of one", "one rank on each GPU; MIG off, or a copy on each part"},
    {"nccl.version", "mismatched nccl version detected", "ranks have different versions of NCCL", "one version of NCCL on all hosts and in all containers"},
    {"nccl.interface", "no socket interface found", "NCCL found no network interface of the name that it was given", "NCCL_SOCKET_IFNAME names interfaces such as eth0, not mlx5_0; unset it on one host"},
    {"nccl.memlock", "ibv_reg_mr*cannot allocate memory", "the limit of locked memory is too small for InfiniBand", "docker run --ulimit memlock=-1; LimitMEMLOCK=infinity in a unit"},
    {"nccl.memlock", "dmabuf*cannot allocate memory", "the limit of locked memory is too small for InfiniBand", "docker run --ulimit memlock=-1; LimitMEMLOCK=infinity in a unit"},
    {"nccl.refused", "connect to*failed*connection refused", "another rank is not there, or a firewall stands between hosts", "look at that host's log; open the ports between hosts"},
    {"nccl.remote", "remote process exited or there was a network error", "another rank ended first: this message is what follows, not the cause", "the cause is in the log of the rank that ended first"},
    {"nccl.timeout", "watchdog caught collective operation timeout", "a rank did not come to a collective: it failed, or a link hangs", "tutti doctor moves data between all pairs"},
    {"nccl.numa", "cumem host*numa support", "the container forbids the calls for NUMA nodes", "docker run --cap-add SYS_NICE, or NCCL_CUMEM_HOST_ENABLE=0"},
    {"nccl.cumem_host", "nccl*cumemhostenable", "a bug of drivers 560 to 575 where GPUs have no peer access", "NCCL_CUMEM_HOST_ENABLE=0 for all ranks, or driver 580"},
    {"nccl.system", "unhandled system error", "NCCL hides the cause; mostly /dev/shm is too small or full", "NCCL_DEBUG=WARN prints it; tutti doctor looks at /dev/shm. tutti itself does not use NCCL"},
    {"nccl.cuda", "unhandled cuda error", "NCCL hides the cause: a GPU or its driver failed, or the driver is too old", "NCCL_DEBUG=WARN prints it; tutti doctor looks at GPUs and driver"},
    // Engines that other people run
    {"heads.divide", "attention heads*must be divisible by", "heads do not divide by the number of ranks", "tutti plan MODEL lists the splits that a model allows"},
    {"uuid.integer", "invalid literal for int() with base 10: 'gpu-", "that program reads CUDA_VISIBLE_DEVICES as numbers", "give it indices instead of UUIDs; tutti takes both"},
    {"uuid.integer", "invalid literal for int() with base 10: 'mig-", "that program reads CUDA_VISIBLE_DEVICES as numbers", "give it indices instead of UUIDs; tutti takes both"},
    {"vllm.inspection", "model architectures*failed to be inspected", "a process that vLLM started for this failed, mostly not because of the model: UUIDs in CUDA_VISIBLE_DEVICES, or a library that is missing", "its own error stands above; indices instead of UUIDs. tutti takes both"},
    {"context.memory", "larger than the maximum number of tokens that can be stored in kv cache", "the memory that is left does not hold one sequence of the whole context", "a shorter context (--max-model-len there, --context here); tutti plan MODEL says how many tokens fit before anything is loaded"},
    {"memory.uneven", "memory capacity is unbalanced", "another program has memory of one of the GPUs", "tutti doctor names it; end it, or leave that GPU out"},
    // clang-format on
});

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Where `part` ends in `text` from `at` on; a number in it is a whole one. npos: nowhere.
size_t end_of(std::string_view part, std::string_view text, size_t at) {
  for (;; ++at) {
    at = text.find(part, at);
    if (at == std::string_view::npos) {
      return at;
    }
    const size_t end = at + part.size();
    if (!is_digit(part.back()) || end == text.size() || !is_digit(text[end])) {
      return end;
    }
  }
}

// Parts of `pattern` between '*', each behind the one before.
bool occurs(std::string_view pattern, std::string_view text) {
  size_t at = 0;
  while (!pattern.empty()) {
    const size_t star = pattern.find('*');
    at = end_of(pattern.substr(0, star), text, at);
    if (at == std::string_view::npos) {
      return false;
    }
    pattern = star == std::string_view::npos ? "" : pattern.substr(star + 1);
  }
  return true;
}

}  // namespace

std::span<const KnownFailure> known_failures() {
  return kRows;
}

const KnownFailure* known_failure(std::string_view text) {
  const std::string lower = to_lower(text);
  for (const KnownFailure& row : kRows) {
    if (occurs(row.pattern, lower)) {
      return &row;
    }
  }
  return nullptr;
}

std::string explain_failure(std::string text) {
  const KnownFailure* known = known_failure(text);
  if (known == nullptr || text.find(known->cause) != std::string::npos) {
    return text;
  }
  return fmt::format("{}: {}. To do: {}", text, known->cause, known->remedy);
}

}  // namespace tutti
