// Does the host, or the container, leave enough?
#include <algorithm>
#include <array>
#include <set>

#include "base/units.h"
#include "doctor/check_words.h"
#include "inventory/system.h"

namespace tutti {

namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
// What NCCL takes of /dev/shm where it does not use CUDA's own shared memory: one pool for each
// process (NCCL 2.28, measured), and a buffer for each channel and direction.
constexpr int64_t kNcclPool = 34'210'176;

Outcome memory(const Examined& machine) {
  constexpr int64_t kLeast = 2 * kGiB;  // the program, and uploads in flight
  const HostFacts& host = machine.inventory.host;
  const Bytes usable = host.usable_memory_bytes();
  if (!usable) {
    return not_known("the host's memory is not known");
  }
  const JsonObject evidence = facts({{"memory_bytes", json_of(host.memory_bytes)},
                                     {"cgroup_memory_bytes", json_of(host.cgroup_memory_bytes)},
                                     {"available_bytes", json_of(host.memory_available_bytes)}});
  if (*usable < kLeast) {
    return found(
        Severity::kWarning,
        fmt::format("{} of memory: less than 2 GiB; loading may be ended by the kernel",
                    format_bytes(*usable)),
        remedy_for(machine.inventory,
                   {.bare = "close other programs, or add memory; systemd: MemoryMax= of the unit",
                    .docker = "docker run --memory=8g, or without it (compose: mem_limit)",
                    .kubernetes = "raise the memory limit of the pod",
                    .vm = "give the virtual machine more memory"}),
        evidence);
  }
  return fine(fmt::format("{} of memory may be used", format_bytes(*usable)), evidence);
}

Outcome oom(const Examined& machine) {
  const HostFacts& host = machine.inventory.host;
  if (!host.oom_kills) {
    return not_known("the control group does not count it");
  }
  const JsonObject evidence = facts(
      {{"oom_kills", *host.oom_kills}, {"cgroup_memory_bytes", json_of(host.cgroup_memory_bytes)}});
  if (*host.oom_kills == 0) {
    return fine("the kernel has ended no process of this control group", evidence);
  }
  return found(Severity::kWarning,
               fmt::format("the kernel has ended {} processes here for want of memory (\"Killed\")",
                           *host.oom_kills),
               remedy_for(machine.inventory,
                          {.bare = "MemoryMax= of the unit, or other programs, leave too little",
                           .docker = "docker run --memory=N, or without it (compose: mem_limit)",
                           .kubernetes = "raise the memory limit of the pod"}),
               evidence);
}

Outcome cpus(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (!m.host.cpus) {
    return not_known("it is not known which CPUs may be used");
  }
  const double cpus = std::min(static_cast<double>(*m.host.cpus),
                               m.host.cpu_quota.value_or(static_cast<double>(*m.host.cpus)));
  const double wanted = static_cast<double>(m.gpus.size()) + 2;  // a thread a rank, engine, HTTP
  const JsonObject evidence = facts({{"cpus", *m.host.cpus}, {"quota", json_of(m.host.cpu_quota)}});
  if (cpus < wanted && !m.gpus.empty()) {
    return found(
        Severity::kWarning,
        fmt::format("{:.1f} CPUs for {} GPUs: a rank's thread each, engine and HTTP want {:.0f}",
                    cpus,
                    m.gpus.size(),
                    wanted),
        remedy_for(m,
                   {.bare = "taskset, or CPUQuota= of the unit, leaves too few",
                    .docker = "docker run --cpus=N, or without it (compose: cpus)",
                    .kubernetes = "raise the CPU limit of the pod, or leave it out",
                    .vm = "give the virtual machine more CPUs"}),
        evidence);
  }
  return fine(fmt::format("{:.1f} CPUs may be used", cpus), evidence);
}

// "0-3,8" -> {0, 1, 2, 3, 8}.
std::set<int64_t> members(const std::string& list) {
  std::set<int64_t> out;
  for (const std::string_view part : split(list, ',')) {
    const size_t dash = part.find('-');
    const auto first = to_int(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : to_int(part.substr(dash + 1));
    for (int64_t i = first.value_or(1); first && last && i <= std::min(*last, *first + 4096); ++i) {
      out.insert(i);
    }
  }
  return out;
}

Outcome numa(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (!m.host.cpu_list || m.host.numa.size() < 2) {
    return fine("one NUMA node");
  }
  const std::set<int64_t> allowed = members(*m.host.cpu_list);
  std::set<int64_t> shut;  // nodes of which no CPU may be used
  for (const NumaNode& node : m.host.numa) {
    const std::set<int64_t> of_node = members(node.cpus.value_or(""));
    if (!of_node.empty() && std::none_of(of_node.begin(), of_node.end(), [&](int64_t cpu) {
          return allowed.contains(cpu);
        })) {
      shut.insert(node.node);
    }
  }
  const GpuSet far =
      gpus_with(m, [&](const Gpu& gpu) { return gpu.numa_node && shut.contains(*gpu.numa_node); });
  const JsonObject evidence = facts({{"cpu_list", *m.host.cpu_list}, {"gpus", far.json()}});
  if (far.empty()) {
    return fine("CPUs near every GPU may be used", evidence);
  }
  return found(
      Severity::kWarning,
      fmt::format("{}: no CPU of the nearest NUMA node may be used; launches and copies are "
                  "slower",
                  far.text()),
      remedy_for(m,
                 {.bare = "taskset or numactl with CPUs of that node too",
                  .docker = "docker run --cpuset-cpus with CPUs of that node too (compose: "
                            "cpuset)",
                  .kubernetes = "Topology Manager with policy best-effort or "
                                "single-numa-node on the node"}),
      evidence);
}

Outcome numa_calls(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (!m.host.numa_calls) {
    return not_known("the calls for NUMA nodes were not tried");
  }
  const JsonObject evidence = facts({{"numa_calls", *m.host.numa_calls}});
  if (*m.host.numa_calls) {
    return fine("the calls for NUMA nodes are allowed", evidence);
  }
  return found(
      Severity::kInfo,
      "the container forbids the calls for NUMA nodes; NCCL then falls back to /dev/shm",
      remedy_for(m,
                 {.bare = "",
                  .docker = "docker run --cap-add SYS_NICE (compose: cap_add); tutti does "
                            "not need it",
                  .kubernetes = "securityContext.capabilities.add SYS_NICE; tutti does not "
                                "need it"}),
      evidence);
}

Outcome shm_size(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const ShmFacts& shm = m.shm;
  const auto gpus = static_cast<int64_t>(m.gpus.size());
  // Of programs that use NCCL without CUDA's own shared memory, or over a network.
  const int64_t nccl = gpus * kNcclPool;
  const JsonObject evidence = facts({{"present", json_of(shm.present)},
                                     {"size_bytes", json_of(shm.size_bytes)},
                                     {"free_bytes", json_of(shm.free_bytes)},
                                     {"tutti_needs_bytes", 0},
                                     {"nccl_may_need_bytes", nccl}});
  const Remedies larger{
      .bare = "mount -o remount,size=1g /dev/shm; tutti itself needs none of it",
      .docker = "docker run --shm-size=1g (compose: shm_size: 1g); tutti itself needs none of it",
      .kubernetes = "an emptyDir with medium: Memory at /dev/shm; tutti itself needs none of it"};
  if (!shm.present.value_or(true)) {
    return found(Severity::kInfo,
                 "there is no /dev/shm; tutti does not use it, programs with NCCL do not start",
                 remedy_for(m, larger),
                 evidence);
  }
  if (!shm.free_bytes) {
    return not_known("the size of /dev/shm is not known");
  }
  if (gpus > 1 && *shm.free_bytes < nccl) {
    return found(Severity::kInfo,
                 fmt::format("{} of /dev/shm are free: enough for tutti, which uses none; NCCL may "
                             "want {} here",
                             format_bytes(*shm.free_bytes),
                             format_bytes(nccl)),
                 remedy_for(m, larger),
                 evidence);
  }
  return fine(
      fmt::format("{} of /dev/shm are free; tutti uses none", format_bytes(*shm.free_bytes)),
      evidence);
}

Outcome shm_stale(const Examined& machine) {
  const ShmFacts& shm = machine.inventory.shm;
  int64_t bytes = 0;
  JsonArray names;
  for (const StaleFile& file : shm.stale) {
    bytes += file.bytes.value_or(0);
    if (names.size() < 20) {
      names.emplace_back(file.name);
    }
  }
  if (shm.stale.empty()) {
    return fine("no left-over files of NCCL in /dev/shm");
  }
  std::string list;
  for (const Json& name : names) {
    list += " /dev/shm/" + name.as_string();
  }
  const bool more = names.size() < shm.stale.size();
  return found(
      Severity::kWarning,
      fmt::format("{} left-over files of NCCL in /dev/shm take {}; no process that is seen "
                  "here uses them. tutti's own transport does not care",
                  shm.stale.size(),
                  format_bytes(bytes)),
      more ? "rm /dev/shm/nccl-*, if no program that uses NCCL runs on this machine" : "rm" + list,
      facts({{"files", Json(std::move(names))},
             {"count", static_cast<int64_t>(shm.stale.size())},
             {"bytes", bytes}}));
}

Outcome shm_writable(const Examined& machine) {
  const ShmFacts& shm = machine.inventory.shm;
  if (!shm.writable) {
    return not_known("it is not known whether /dev/shm may be written to");
  }
  if (*shm.writable) {
    return fine("/dev/shm may be written to");
  }
  return found(
      Severity::kInfo,
      "/dev/shm is mounted read-only; tutti does not use it, programs with NCCL do not start",
      remedy_for(machine.inventory,
                 {.bare = "mount -o remount,rw /dev/shm",
                  .docker = "docker run without --read-only, or with --tmpfs /dev/shm",
                  .kubernetes = "an emptyDir with medium: Memory at /dev/shm"}),
      facts({{"writable", false}}));
}

Outcome memlock(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const Bytes limit = m.limits.memlock_bytes;
  if (!limit) {
    return not_known("the limit is not known");
  }
  const JsonObject evidence = facts({{"memlock_bytes", *limit}});
  if (*limit < 0 || *limit >= 64 * kMiB || m.host.infiniband.empty()) {
    return fine(*limit < 0 ? "locked memory is not limited"
                           : "tutti locks memory through the driver, which this does not limit",
                evidence);
  }
  return found(
      Severity::kInfo,
      fmt::format("locked memory is limited to {}: too little for InfiniBand (NCCL); tutti "
                  "does not need it",
                  format_bytes(*limit)),
      remedy_for(m,
                 {.bare = "LimitMEMLOCK=infinity in the unit, or memlock in "
                          "/etc/security/limits.conf",
                  .docker = "docker run --ulimit memlock=-1 (compose: ulimits: memlock: -1)",
                  .kubernetes = "raise the limit of the container runtime on the node"}),
      evidence);
}

Outcome files(const Examined& machine) {
  constexpr int64_t kLeast = 4096;
  const Inventory& m = machine.inventory;
  const std::optional<int64_t> limit = m.limits.nofile;
  if (!limit) {
    return not_known("the limit is not known");
  }
  const JsonObject evidence = facts({{"nofile", *limit}});
  if (*limit < 0 || *limit >= kLeast) {
    return fine(fmt::format("open files: {}",
                            *limit < 0 ? std::string("not limited") : std::to_string(*limit)),
                evidence);
  }
  return found(
      Severity::kInfo,
      fmt::format("{} open files: a server raises that to the hard limit; each connection "
                  "takes one",
                  *limit),
      remedy_for(m,
                 {.bare = "LimitNOFILE=65536 in the unit, or ulimit -n 65536",
                  .docker = "docker run --ulimit nofile=65536:65536 (compose: ulimits: nofile)"}),
      evidence);
}

Outcome stack(const Examined& machine) {
  const Bytes limit = machine.inventory.limits.stack_bytes;
  if (!limit) {
    return not_known("the limit is not known");
  }
  const JsonObject evidence = facts({{"stack_bytes", *limit}});
  if (*limit >= kMiB) {
    return fine(fmt::format("stacks: {}", format_bytes(*limit)), evidence);
  }
  if (*limit < 0) {
    return found(Severity::kInfo,
                 "stacks are not limited: threads of older NCCL (before 2.28) then get 2 MiB",
                 "ulimit -s 8192 for programs that use NCCL",
                 evidence);
  }
  return found(Severity::kWarning,
               fmt::format("stacks are limited to {}", format_bytes(*limit)),
               "ulimit -s 8192",
               evidence);
}

Outcome processes(const Examined& machine) {
  constexpr int64_t kLeast = 512;
  const std::optional<int64_t> limit = machine.inventory.limits.processes;
  if (!limit) {
    return not_known("the limit is not known");
  }
  const JsonObject evidence = facts({{"processes", *limit}});
  if (*limit < 0 || *limit >= kLeast) {
    return fine("there may be as many threads as are needed", evidence);
  }
  return found(Severity::kWarning,
               fmt::format("{} processes and threads at most", *limit),
               remedy_for(machine.inventory,
                          {.bare = "ulimit -u 4096; LimitNPROC= and TasksMax= of the unit",
                           .docker = "docker run --ulimit nproc=4096 (compose: ulimits: nproc)"}),
               evidence);
}

constexpr auto kChecks = std::to_array<Check>({
    // clang-format off
    {"host.memory", Needs::kNothing, "there is memory for loading", "MemTotal, memory.max", memory},
    {"host.oom", Needs::kNothing, "the kernel ended nothing for want of memory", "memory.events", oom},
    {"host.cpus", Needs::kNothing, "there are CPUs for all ranks", "Cpus_allowed_list, cpu.max", cpus},
    {"host.numa", Needs::kGpus, "CPUs near every GPU may be used", "numa_node beside Cpus_allowed_list", numa},
    {"host.numa_calls", Needs::kGpus, "calls for NUMA nodes are allowed", "get_mempolicy", numa_calls},
    {"shm.size", Needs::kNothing, "/dev/shm, which tutti does not need", "statvfs", shm_size},
    {"shm.stale", Needs::kNothing, "no left-over files of NCCL", "/dev/shm/nccl-*, /proc/*/maps and fd", shm_stale},
    {"shm.writable", Needs::kNothing, "/dev/shm may be written to", "statvfs", shm_writable},
    {"limit.memlock", Needs::kGpus, "locked memory, for InfiniBand", "RLIMIT_MEMLOCK", memlock},
    {"limit.files", Needs::kNothing, "enough open files", "RLIMIT_NOFILE", files},
    {"limit.stack", Needs::kNothing, "stacks of a usual size", "RLIMIT_STACK", stack},
    {"limit.processes", Needs::kNothing, "enough threads", "RLIMIT_NPROC", processes},
    // clang-format on
});

}  // namespace

std::span<const Check> host_checks() {
  return kChecks;
}

}  // namespace tutti
