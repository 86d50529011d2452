#include "inventory/container_kind.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"

namespace tutti {

namespace {

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// Makers of virtual machines, as the firmware tables name them. Only where the processor does not
// tell (ARM): clouds give their bare machines the same names.
bool made_by_hypervisor(const System& system) {
  const std::string maker =
      to_lower(system.read("/sys/class/dmi/id/sys_vendor").value_or("") + " " +
               system.read("/sys/class/dmi/id/product_name").value_or(""));
  constexpr std::array<std::string_view, 6> kMakers{
      "qemu", "kvm", "vmware", "virtual machine", "virtualbox", "google compute engine"};
  return std::any_of(
      kMakers.begin(), kMakers.end(), [&](std::string_view name) { return contains(maker, name); });
}

}  // namespace

std::string container_kind(const System& system) {
  const auto variable = [&](const char* name) {
    const auto found = system.environment.find(name);
    return found == system.environment.end() ? std::string() : found->second;
  };
  const std::string groups = system.read("/proc/self/cgroup").value_or("") + "\n" +
                             system.read("/proc/1/cgroup").value_or("");
  const std::string mounts = system.read("/proc/self/mountinfo").value_or("");

  // Every pod has the address of the cluster in its environment and, unless told otherwise, a token
  // in this directory; without both its files or groups still lie under the node agent's names.
  if (!variable("KUBERNETES_SERVICE_HOST").empty() || system.exists("/run/secrets/kubernetes.io") ||
      system.exists("/var/run/secrets/kubernetes.io") || contains(groups, "kubepods") ||
      contains(mounts, "/kubelet/pods/")) {
    return "kubernetes";
  }
  // podman creates the file and sets the variable in every container; docker creates its own file.
  if (system.exists("/run/.containerenv") || variable("container") == "podman" ||
      contains(groups, "/libpod-")) {
    return "podman";
  }
  // With namespaced groups (version 2) the group's name is hidden, but /etc/hosts and
  // /etc/resolv.conf are mounted from the container's directory.
  if (system.exists("/.dockerenv") || contains(groups, "/docker/") ||
      contains(groups, "/docker-") || contains(mounts, "/docker/containers/")) {
    return "docker";
  }
  // The release of the kernel: "5.15.167.4-microsoft-standard-WSL2". Its GPUs are at /dev/dxg.
  if (contains(to_lower(system.read("/proc/sys/kernel/osrelease").value_or("")), "microsoft") ||
      system.exists("/dev/dxg")) {
    return "wsl";
  }
  return in_virtual_machine(system) ? "vm" : "bare";
}

bool in_virtual_machine(const System& system) {
  // Hypervisors set this bit for their guests; Xen has a directory of its own.
  const std::string processor = system.read("/proc/cpuinfo").value_or("");
  return contains(processor, " hypervisor") || system.exists("/sys/hypervisor/type") ||
         (!contains(processor, "flags\t") && made_by_hypervisor(system));
}

}  // namespace tutti
