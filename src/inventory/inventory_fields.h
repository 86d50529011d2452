// The fields of an inventory file, in order, once for both directions. An archive has
//   field(name, value, rule)   of a scalar, a list or a struct,
// where `rule` says what a value may be.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "inventory/inventory.h"

namespace tutti::inventory_file {

/// Range of a whole number, or the words that a string may be; none: any string. Sums over all GPUs
/// of what the range lets through do not overflow.
struct Rule {
  int64_t min = 0;
  int64_t max = int64_t{1} << 56;
  std::span<const std::string_view> words;
  bool link_kind = false;  ///< NV and a number, or one of `words`
};

inline constexpr std::array<std::string_view, 6> kHostKinds{
    "bare", "docker", "podman", "kubernetes", "vm", "wsl"};
inline constexpr std::array<std::string_view, 2> kModules{"open", "proprietary"};
inline constexpr std::array<std::string_view, 4> kDataTests{"pass", "fail", "hang", "not_run"};
inline constexpr std::array<std::string_view, 5> kLinkKinds{"PIX", "PXB", "PHB", "NODE", "SYS"};
inline constexpr std::array<std::string_view, 3> kIommu{"off", "passthrough", "translated"};
inline constexpr std::array<std::string_view, 4> kFabricStates{
    "not_supported", "not_started", "in_progress", "completed"};
inline constexpr Rule kLimit{.min = -1, .max = INT64_MAX};  // -1: unlimited
inline constexpr Rule kSmall{.max = 1 << 20};               // counts and numbers of things

template <class Archive>
void fields(Archive& a, NumaNode& v) {
  a.field("node", v.node, kSmall);
  a.field("cpus", v.cpus);
  a.field("memory_bytes", v.memory_bytes);
}

template <class Archive>
void fields(Archive& a, NetworkInterface& v) {
  a.field("name", v.name);
  a.field("state", v.state);
}

template <class Archive>
void fields(Archive& a, InfinibandPort& v) {
  a.field("device", v.device);
  a.field("port", v.port, kSmall);
  a.field("state", v.state);
  a.field("rate", v.rate);
}

template <class Archive>
void fields(Archive& a, HostFacts& v) {
  a.field("kind", v.kind, Rule{.words = kHostKinds});
  a.field("kernel", v.kernel);
  a.field("cpus", v.cpus, Rule{.min = 1, .max = kSmall.max});
  a.field("memory_bytes", v.memory_bytes);
  a.field("cgroup_memory_bytes", v.cgroup_memory_bytes);
  a.field("numa", v.numa);
  a.field("virtual_machine", v.virtual_machine);
  a.field("cpu_list", v.cpu_list);
  a.field("cpu_quota", v.cpu_quota);
  a.field("memory_available_bytes", v.memory_available_bytes);
  a.field("oom_kills", v.oom_kills);
  a.field("numa_calls", v.numa_calls);
  a.field("iommu", v.iommu, Rule{.words = kIommu});
  a.field("acs_redirect", v.acs_redirect);
  a.field("interfaces", v.interfaces);
  a.field("infiniband", v.infiniband);
}

template <class Archive>
void fields(Archive& a, StaleFile& v) {
  a.field("name", v.name);
  a.field("bytes", v.bytes);
}

template <class Archive>
void fields(Archive& a, ShmFacts& v) {
  a.field("present", v.present);
  a.field("size_bytes", v.size_bytes);
  a.field("free_bytes", v.free_bytes);
  a.field("stale", v.stale);
  a.field("writable", v.writable);
}

template <class Archive>
void fields(Archive& a, LimitFacts& v) {
  a.field("memlock_bytes", v.memlock_bytes, kLimit);
  a.field("nofile", v.nofile, kLimit);
  a.field("stack_bytes", v.stack_bytes, kLimit);
  a.field("processes", v.processes, kLimit);
}

template <class Archive>
void fields(Archive& a, DeviceNode& v) {
  a.field("name", v.name);
  a.field("error", v.error);
}

template <class Archive>
void fields(Archive& a, XidEvent& v) {
  a.field("pci", v.pci);
  a.field("code", v.code, kSmall);
}

template <class Archive>
void fields(Archive& a, DriverFacts& v) {
  a.field("version", v.version);
  a.field("cuda", v.cuda);
  a.field("module", v.module, Rule{.words = kModules});
  a.field("nvml_error", v.nvml_error);
  a.field("nodes", v.nodes);
  a.field("char_links", v.char_links);
  a.field("fabric_manager", v.fabric_manager);
  a.field("nvswitches", v.nvswitches, kSmall);
  a.field("imex_channels", v.imex_channels, kSmall);
  a.field("peermem", v.peermem);
  a.field("compat", v.compat);
  a.field("confidential", v.confidential);
  a.field("xids", v.xids);
}

template <class Archive>
void fields(Archive& a, LibraryFacts& v) {
  a.field("nccl", v.nccl);
  a.field("cublaslt", v.cublaslt);
  a.field("architectures", v.architectures);
}

template <class Archive>
void fields(Archive& a, GpuCounts& v) {
  a.field("pci", v.pci, kSmall);
  a.field("nvml", v.nvml, kSmall);
  a.field("cuda", v.cuda, kSmall);
  a.field("last_good", v.last_good, kSmall);
}

template <class Archive>
void fields(Archive& a, GpuProcess& v) {
  a.field("name", v.name);
  a.field("bytes", v.bytes);
}

template <class Archive>
void fields(Archive& a, MigDevice& v) {
  a.field("index", v.index, kSmall);
  a.field("uuid", v.uuid);
  a.field("name", v.name);
  a.field("gpu_instance", v.gpu_instance, kSmall);
  a.field("compute_instance", v.compute_instance, kSmall);
  a.field("memory_total_bytes", v.memory_total_bytes);
  a.field("memory_used_bytes", v.memory_used_bytes);
}

template <class Archive>
void fields(Archive& a, EccFacts& v) {
  a.field("uncorrected", v.uncorrected);
  a.field("retired_pending", v.retired_pending);
}

template <class Archive>
void fields(Archive& a, RemappedRows& v) {
  a.field("pending", v.pending);
  a.field("failed", v.failed);
}

template <class Archive>
void fields(Archive& a, PcieLink& v) {
  a.field("gen", v.gen, kSmall);
  a.field("gen_max", v.gen_max, kSmall);
  a.field("width", v.width, kSmall);
  a.field("width_max", v.width_max, kSmall);
  a.field("replays", v.replays);
}

template <class Archive>
void fields(Archive& a, NvlinkFacts& v) {
  a.field("active", v.active, kSmall);
  a.field("inactive", v.inactive, kSmall);
  a.field("errors", v.errors);
}

template <class Archive>
void fields(Archive& a, FabricFacts& v) {
  a.field("state", v.state, Rule{.words = kFabricStates});
  a.field("health", v.health);
  a.field("cluster", v.cluster);
  a.field("clique", v.clique, Rule{.max = UINT32_MAX});
}

template <class Archive>
void fields(Archive& a, Gpu& v) {
  a.field("index", v.index, kSmall);
  a.field("nvml_index", v.nvml_index, kSmall);
  a.field("uuid", v.uuid);
  a.field("pci", v.pci);
  a.field("name", v.name);
  a.field("compute_capability", v.compute_capability);
  a.field("sms", v.sms, kSmall);
  a.field("memory_total_bytes", v.memory_total_bytes);
  a.field("memory_used_bytes", v.memory_used_bytes);
  a.field("processes", v.processes);
  a.field("mig", v.mig);
  a.field("mig_devices", v.mig_devices);
  a.field("compute_mode", v.compute_mode);
  a.field("ecc", v.ecc);
  a.field("remapped", v.remapped);
  a.field("recovery_action", v.recovery_action);
  a.field("clock_reasons", v.clock_reasons);
  a.field("power_watts", v.power_watts);
  a.field("power_limit_watts", v.power_limit_watts);
  a.field("power_limit_default_watts", v.power_limit_default_watts);
  a.field("pcie", v.pcie);
  a.field("bar1_bytes", v.bar1_bytes);
  a.field("numa_node", v.numa_node, kSmall);
  a.field("fabric", v.fabric);
  a.field("mig_pending", v.mig_pending);
  a.field("persistence", v.persistence);
  a.field("temperature_celsius", v.temperature_celsius, kSmall);
  a.field("nvlink", v.nvlink);
  a.field("read_bytes_per_second", v.read_bytes_per_second);
  a.field("matmul_flops_per_second", v.matmul_flops_per_second);
}

template <class Archive>
void fields(Archive& a, P2pFacts& v) {
  a.field("read", v.read);
  a.field("write", v.write);
  a.field("atomics", v.atomics);
}

template <class Archive>
void fields(Archive& a, GpuLink& v) {
  a.field("a", v.a, kSmall);
  a.field("b", v.b, kSmall);
  a.field("kind", v.kind, Rule{.words = kLinkKinds, .link_kind = true});
  a.field("p2p", v.p2p);
  a.field("data_test", v.data_test, Rule{.words = kDataTests});
  a.field("bytes_per_second", v.bytes_per_second);
}

template <class Archive>
void fields(Archive& a, InventoryError& v) {
  a.field("source", v.source);
  a.field("text", v.text);
}

template <class Archive>
void fields(Archive& a, Inventory& v) {
  a.field("taken_at", v.taken_at);
  a.field("tutti_version", v.tutti_version);
  a.field("host", v.host);
  a.field("shm", v.shm);
  a.field("limits", v.limits);
  a.field("env", v.env);
  a.field("driver", v.driver);
  a.field("libraries", v.libraries);
  a.field("counts", v.counts);
  a.field("gpus", v.gpus);
  a.field("links", v.links);
  a.field("errors", v.errors);
}

}  // namespace tutti::inventory_file
