#include "inventory/host_facts.h"

#include <algorithm>

#include "base/ascii.h"
#include "inventory/cgroup.h"
#include "inventory/container_kind.h"
#include "inventory/peer_path.h"
#include "inventory/stale_shm.h"

namespace tutti {

namespace {

// "MemTotal:  263841234 kB" in bytes. Lines of a NUMA node begin with "Node 0 ".
Bytes meminfo_line(const std::string& meminfo, std::string_view name) {
  for (std::string_view line : split(meminfo, '\n')) {
    const size_t at = line.find(name);
    if (at == std::string_view::npos) {
      continue;
    }
    line = trim(line.substr(at + name.size()));
    const std::optional<int64_t> number = to_int(line.substr(0, line.find(' ')));
    return number && *number < INT64_MAX / 1024 ? Bytes(*number * 1024) : std::nullopt;
  }
  return std::nullopt;
}

Bytes mem_total(const std::string& meminfo) {
  return meminfo_line(meminfo, "MemTotal:");
}

// Processors that this process may run on, which a container or a scheduler may have narrowed.
std::string list_cpus(const System& system) {
  constexpr std::string_view kName = "Cpus_allowed_list:";
  const std::string status = system.read("/proc/self/status").value_or("");
  for (const std::string_view line : split(status, '\n')) {
    if (line.starts_with(kName)) {
      return std::string(trim(line.substr(kName.size())));
    }
  }
  return system.read("/sys/devices/system/cpu/online").value_or("");
}

std::vector<NumaNode> numa_nodes(const System& system) {
  constexpr const char* kNodes = "/sys/devices/system/node";
  std::vector<NumaNode> nodes;
  for (const std::string& name : system.list(kNodes)) {
    const std::optional<int64_t> number =
        name.starts_with("node") ? to_int(std::string_view{name}.substr(4)) : std::nullopt;
    if (number && *number >= 0) {
      nodes.push_back({.node = *number,
                       .cpus = system.read(fmt::format("{}/{}/cpulist", kNodes, name)),
                       .memory_bytes = mem_total(
                           system.read(fmt::format("{}/{}/meminfo", kNodes, name)).value_or(""))});
    }
  }
  std::sort(nodes.begin(), nodes.end(), [](const NumaNode& a, const NumaNode& b) {
    return a.node < b.node;
  });
  return nodes;
}

std::vector<NetworkInterface> network_interfaces(const System& system) {
  constexpr const char* kFolder = "/sys/class/net";
  std::vector<NetworkInterface> interfaces;
  for (const std::string& name : system.list(kFolder)) {
    interfaces.push_back(
        {.name = name, .state = system.read(fmt::format("{}/{}/operstate", kFolder, name))});
  }
  return interfaces;
}

// "4: ACTIVE" -> "ACTIVE".
std::optional<std::string> port_state(const std::optional<std::string>& text) {
  const size_t colon = text ? text->find(": ") : std::string::npos;
  return colon == std::string::npos ? text : std::optional(text->substr(colon + 2));
}

std::vector<InfinibandPort> infiniband_ports(const System& system) {
  constexpr const char* kFolder = "/sys/class/infiniband";
  std::vector<InfinibandPort> ports;
  for (const std::string& device : system.list(kFolder)) {
    const std::string folder = fmt::format("{}/{}/ports", kFolder, device);
    for (const std::string& name : system.list(folder)) {
      if (const std::optional<int64_t> number = to_int(name); number && *number >= 0) {
        ports.push_back({.device = device,
                         .port = *number,
                         .state = port_state(system.read(fmt::format("{}/{}/state", folder, name))),
                         .rate = system.read(fmt::format("{}/{}/rate", folder, name))});
      }
    }
  }
  return ports;
}

void add_shm(const System& system, Inventory& inventory) {
  ShmFacts& shm = inventory.shm;
  shm.present = system.exists("/dev/shm");
  if (!*shm.present) {
    return;
  }
  const std::optional<FileSystemSize> size =
      system.file_system ? system.file_system(system.path("/dev/shm")) : std::nullopt;
  if (size) {
    shm.size_bytes = size->size_bytes;
    shm.free_bytes = size->free_bytes;
    shm.writable = !size->read_only;
  } else {
    inventory.add_error("shm", "/dev/shm: its size cannot be read");
  }
  shm.stale = stale_nccl_files(system);
}

}  // namespace

std::optional<int64_t> count_of_list(std::string_view list) {
  int64_t count = 0;
  for (const std::string_view part : split(list, ',')) {
    const size_t dash = part.find('-');
    const std::optional<int64_t> first = to_int(part.substr(0, dash));
    const std::optional<int64_t> last =
        dash == std::string_view::npos ? first : to_int(part.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last > (1 << 20)) {
      return std::nullopt;
    }
    count += *last - *first + 1;
  }
  return count;
}

void add_host_facts(const System& system, Inventory& inventory) {
  HostFacts& host = inventory.host;
  host.kind = container_kind(system);
  // Not /proc/version: it names who built the kernel, and where.
  host.kernel = system.read("/proc/sys/kernel/osrelease");
  const std::string cpus = list_cpus(system);
  host.cpus = count_of_list(cpus);
  host.cpu_list = host.cpus ? std::optional(cpus) : std::nullopt;
  const std::string meminfo = system.read("/proc/meminfo").value_or("");
  host.memory_bytes = mem_total(meminfo);
  host.memory_available_bytes = meminfo_line(meminfo, "MemAvailable:");
  host.cgroup_memory_bytes = cgroup_memory_limit(system);
  host.cpu_quota = cgroup_cpu_quota(system);
  host.oom_kills = cgroup_oom_kills(system);
  host.virtual_machine = in_virtual_machine(system);
  host.numa_calls = system.numa_calls ? system.numa_calls() : std::nullopt;
  host.interfaces = network_interfaces(system);
  host.infiniband = infiniband_ports(system);
  add_peer_path_facts(system, host);
  host.numa = numa_nodes(system);
  const auto missing = [&](bool known, const char* text) {
    if (!known) {
      inventory.add_error("host", text);
    }
  };
  missing(host.kernel.has_value(), "/proc/sys/kernel/osrelease cannot be read");
  missing(host.cpus.has_value(), "/proc/self/status does not tell the CPUs of this process");
  missing(host.memory_bytes.has_value(), "/proc/meminfo does not tell MemTotal");
  missing(system.exists("/proc/self/cgroup"),
          "/proc/self/cgroup cannot be read: a memory limit of a control group is not known");

  add_shm(system, inventory);

  const auto limit = [&](LimitKind kind) {
    return system.limit ? system.limit(kind) : std::nullopt;
  };
  inventory.limits = {.memlock_bytes = limit(LimitKind::kMemlock),
                      .nofile = limit(LimitKind::kOpenFiles),
                      .stack_bytes = limit(LimitKind::kStack),
                      .processes = limit(LimitKind::kProcesses)};
}

}  // namespace tutti
