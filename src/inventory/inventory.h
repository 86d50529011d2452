// What a machine has: the tree of docs/inventory.md. A fact that could not be known is empty (null
// in the file), and `errors` says why; an empty list means that there are none.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tutti {

using Bytes = std::optional<int64_t>;

struct NumaNode {
  int64_t node = 0;
  std::optional<std::string> cpus;  ///< "0-31,64-95"
  Bytes memory_bytes;
};

struct NetworkInterface {
  std::string name;                  ///< "eth0"
  std::optional<std::string> state;  ///< "up", "down", "unknown"
};

struct InfinibandPort {
  std::string device;  ///< "mlx5_0"
  int64_t port = 1;
  std::optional<std::string> state;  ///< "ACTIVE"
  std::optional<std::string> rate;   ///< "400 Gb/sec (4X NDR)"
};

struct HostFacts {
  std::optional<std::string> kind;    ///< bare, docker, podman, kubernetes, vm or wsl
  std::optional<std::string> kernel;  ///< "6.8.0-45-generic"
  std::optional<int64_t> cpus;        ///< that this process may run on
  Bytes memory_bytes;                 ///< MemTotal
  Bytes cgroup_memory_bytes;          ///< smallest limit of the process's groups; empty: none
  std::vector<NumaNode> numa;
  std::optional<bool> virtual_machine;  ///< also of a container in one
  std::optional<std::string> cpu_list;  ///< of the CPUs that this process may run on: "0-3,8"
  std::optional<double> cpu_quota;      ///< CPUs' worth of time of its control groups; empty: all
  Bytes memory_available_bytes;         ///< MemAvailable
  std::optional<int64_t> oom_kills;     ///< of its control group, since that was made
  std::optional<bool> numa_calls;       ///< the container allows get_mempolicy
  std::optional<std::string> iommu;     ///< of the GPUs: off, passthrough or translated
  std::optional<bool> acs_redirect;     ///< a bridge above a GPU sends peer traffic upwards
  std::vector<NetworkInterface> interfaces;
  std::vector<InfinibandPort> infiniband;

  /// What can be used at most: the smaller of both.
  Bytes usable_memory_bytes() const;
};

struct StaleFile {
  std::string name;  ///< in /dev/shm
  Bytes bytes;
};

struct ShmFacts {
  std::optional<bool> present;
  Bytes size_bytes;
  Bytes free_bytes;
  std::vector<StaleFile> stale;  ///< nccl-* files that no process seen here uses
  std::optional<bool> writable;
};

/// Soft limits of the process; -1: unlimited.
struct LimitFacts {
  Bytes memlock_bytes;
  std::optional<int64_t> nofile;
  Bytes stack_bytes;
  std::optional<int64_t> processes;  ///< and threads
};

/// A device file of the driver.
struct DeviceNode {
  std::string name;                  ///< "nvidia0"
  std::optional<std::string> error;  ///< why it cannot be opened; empty: it can
};

/// An error that the driver wrote to the kernel's log.
struct XidEvent {
  std::string pci;   ///< "0000:18:00"
  int64_t code = 0;  ///< 79: off the bus
};

struct DriverFacts {
  std::optional<std::string> version;     ///< "580.159.03"
  std::optional<std::string> cuda;        ///< newest CUDA that it serves: "13.0"
  std::optional<std::string> module;      ///< open or proprietary
  std::optional<std::string> nvml_error;  ///< why NVML told nothing
  std::vector<DeviceNode> nodes;   ///< /dev/nvidia0, nvidiactl, nvidia-uvm, ...: those there are
  std::optional<bool> char_links;  ///< /dev/char has links to them
  std::optional<bool> fabric_manager;         ///< a process of that name is seen
  std::optional<int64_t> nvswitches;          ///< /dev/nvidia-nvswitch*
  std::optional<int64_t> imex_channels;       ///< /dev/nvidia-caps-imex-channels/*
  std::optional<bool> peermem;                ///< nvidia_peermem is loaded
  std::optional<std::string> compat;          ///< a libcuda for older drivers that is found first
  std::optional<bool> confidential;           ///< confidential computing is on
  std::optional<std::vector<XidEvent>> xids;  ///< empty: the log may not be read
};

struct LibraryFacts {
  std::optional<std::string> nccl;  ///< "2.28.9"
  std::optional<std::string> cublaslt;
  std::optional<std::string> architectures;  ///< of GPUs, that this build has code for: "80,90a"
};

/// GPUs counted three ways, and how many there were when all was well.
struct GpuCounts {
  std::optional<int64_t> pci;
  std::optional<int64_t> nvml;
  std::optional<int64_t> cuda;
  std::optional<int64_t> last_good;
};

struct GpuProcess {
  std::optional<std::string> name;  ///< of the program's file, without directory and arguments
  Bytes bytes;
};

/// A part of a GPU that programs can name by its UUID.
struct MigDevice {
  std::optional<int64_t> index;  ///< CUDA's, as in Gpu
  std::optional<std::string> uuid;
  std::optional<std::string> name;  ///< "NVIDIA H200 MIG 3g.71gb"
  std::optional<int64_t> gpu_instance;
  std::optional<int64_t> compute_instance;
  Bytes memory_total_bytes;
  Bytes memory_used_bytes;
};

struct EccFacts {
  std::optional<int64_t> uncorrected;   ///< errors since the driver was loaded
  std::optional<bool> retired_pending;  ///< pages that the next reset takes out of use
};

/// Rows of memory that were replaced by spare ones.
struct RemappedRows {
  std::optional<bool> pending;  ///< takes effect at the next reset
  std::optional<bool> failed;
};

struct PcieLink {
  std::optional<int64_t> gen;
  std::optional<int64_t> gen_max;
  std::optional<int64_t> width;
  std::optional<int64_t> width_max;
  std::optional<int64_t> replays;  ///< packets sent again since the driver was loaded
};

struct NvlinkFacts {
  std::optional<int64_t> active;  ///< links
  std::optional<int64_t> inactive;
  std::optional<int64_t> errors;  ///< replays and recoveries of all links
};

struct FabricFacts {
  std::optional<std::string> state;    ///< not_supported, not_started, in_progress or completed
  std::optional<std::string> health;   ///< healthy, or what is wrong, joined by commas
  std::optional<std::string> cluster;  ///< 32 hexadecimal digits
  std::optional<int64_t> clique;
};

struct Gpu {
  std::optional<int64_t> index;       ///< CUDA's, after CUDA_VISIBLE_DEVICES; empty: hidden from it
  std::optional<int64_t> nvml_index;  ///< empty: only PCI shows it
  std::optional<std::string> uuid;    ///< "GPU-8932f937-..."
  std::optional<std::string> pci;     ///< "0000:18:00.0"
  std::optional<std::string> name;
  std::optional<std::string> compute_capability;  ///< "9.0"
  std::optional<int64_t> sms;                     ///< streaming multiprocessors
  Bytes memory_total_bytes;
  Bytes memory_used_bytes;  ///< total less free: what programs and the driver took
  std::optional<std::vector<GpuProcess>> processes;
  std::optional<bool> mig;
  std::vector<MigDevice> mig_devices;
  std::optional<std::string> compute_mode;  ///< default, exclusive_thread, prohibited or
                                            ///< exclusive_process
  EccFacts ecc;
  RemappedRows remapped;
  std::optional<std::string> recovery_action;  ///< none, gpu_reset, node_reboot, drain_p2p, ...
  std::optional<std::vector<std::string>> clock_reasons;  ///< why clocks are not higher
  std::optional<double> power_watts;
  std::optional<double> power_limit_watts;          ///< in force
  std::optional<double> power_limit_default_watts;  ///< of the model
  PcieLink pcie;
  Bytes bar1_bytes;
  std::optional<int64_t> numa_node;
  FabricFacts fabric;
  std::optional<bool> mig_pending;  ///< its mode changes at the next reset
  std::optional<bool> persistence;  ///< the driver stays awake without programs
  std::optional<int64_t> temperature_celsius;
  NvlinkFacts nvlink;
  std::optional<double> read_bytes_per_second;    ///< of its memory, measured
  std::optional<double> matmul_flops_per_second;  ///< of large products in bf16, measured
};

/// What the driver says about peer access: ok, chipset_not_supported, gpu_not_supported,
/// topology_not_supported, disabled_by_regkey, not_supported or unknown.
struct P2pFacts {
  std::optional<std::string> read;
  std::optional<std::string> write;
  std::optional<std::string> atomics;
};

/// Between two GPUs; each pair occurs once, a < b.
struct GpuLink {
  int64_t a = 0;                    ///< nvml_index
  int64_t b = 0;                    ///< nvml_index
  std::optional<std::string> kind;  ///< NV18 (number of NVLinks), PIX, PXB, PHB, NODE or SYS
  P2pFacts p2p;
  std::optional<std::string> data_test;  ///< pass, fail, hang or not_run
  std::optional<double> bytes_per_second;
};

struct InventoryError {
  std::string source;  ///< pci, nvml, cuda, cgroup, ...
  std::string text;
};

struct Inventory {
  std::optional<std::string> taken_at;  ///< "2026-11-30T02:22:48Z"
  std::optional<std::string> tutti_version;
  HostFacts host;
  ShmFacts shm;
  LimitFacts limits;
  std::map<std::string, std::string> env;  ///< CUDA_*, NVIDIA_*, NCCL_* and TUTTI_*, no secrets
  DriverFacts driver;
  LibraryFacts libraries;
  GpuCounts counts;
  std::vector<Gpu> gpus;  ///< those of NVML by its index, then those that only PCI shows
  std::vector<GpuLink> links;
  std::vector<InventoryError> errors;

  void add_error(std::string source, std::string text);
};

/// One line of JSON. Text that is no UTF-8 has its bad bytes replaced.
std::string to_json(const Inventory& inventory);

/// Reads such an object. Absent and null both mean unknown, fields of other names are passed over,
/// a wrong type or an impossible value is kInvalidArgument: "FILE: gpus[3].pcie.gen: got a string,
/// wanted an integer". `where`: the name of the file, for messages.
Result<Inventory> parse_inventory(std::string_view text, const std::string& where);

/// The same of what read_input() takes, at most 16 MiB.
Result<Inventory> read_inventory(const std::string& path);

}  // namespace tutti
