#include "inventory/driver_facts.h"

#include <algorithm>
#include <array>
#include <system_error>

namespace tutti {

namespace {

// "580.159.03": what is made of digits and dots, with a dot between digits.
bool is_version(std::string_view word) {
  return word.find_first_not_of("0123456789.") == std::string_view::npos &&
         word.find('.') != std::string_view::npos && word.front() != '.' && word.back() != '.';
}

bool is_numbered(std::string_view name, std::string_view prefix) {
  return name.starts_with(prefix) && to_int(name.substr(prefix.size())).has_value();
}

std::vector<DeviceNode> device_nodes(const System& system) {
  std::vector<DeviceNode> nodes;
  for (const std::string& name : system.list("/dev")) {
    if (!is_numbered(name, "nvidia") && name != "nvidiactl" && name != "nvidia-uvm") {
      continue;
    }
    const int code = system.open_error ? system.open_error(system.path("/dev/" + name)) : 0;
    nodes.push_back(
        {.name = name,
         .error = code == 0 ? std::nullopt : std::optional(std::generic_category().message(code))});
  }
  return nodes;
}

// The kernel cuts names of programs to 15 letters.
bool runs(const System& system, std::string_view program) {
  const std::vector<std::string> names = system.list("/proc");
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return to_int(name) && system.read("/proc/" + name + "/comm") == program.substr(0, 15);
  });
}

// A libcuda for drivers older than the program, which shadows the driver's own.
std::optional<std::string> compat_library(const System& system) {
  const auto path = system.environment.find("LD_LIBRARY_PATH");
  if (path == system.environment.end()) {
    return std::nullopt;
  }
  for (const std::string_view folder : split(path->second, ':')) {
    const std::string file = std::string(folder) + "/libcuda.so.1";
    if (folder.find("compat") != std::string_view::npos && system.exists(file)) {
      return file;
    }
  }
  return std::nullopt;
}

// "NVRM: Xid (PCI:0000:18:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
std::optional<XidEvent> xid_of(std::string_view line) {
  constexpr std::string_view kMark = "NVRM: Xid (PCI:";
  const size_t at = line.find(kMark);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  line.remove_prefix(at + kMark.size());
  const size_t end = line.find("): ");
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view code = line.substr(end + 3);
  const std::optional<int64_t> number =
      to_int(code.substr(0, code.find_first_not_of("0123456789")));
  return number && *number < (1 << 20)
             ? std::optional(XidEvent{.pci = std::string(line.substr(0, end)), .code = *number})
             : std::nullopt;
}

// Each kind of error of each GPU once, the latest of them.
std::optional<std::vector<XidEvent>> xids_of_log(const System& system) {
  constexpr size_t kMostXids = 64;
  const std::optional<std::vector<std::string>> log =
      system.kernel_log ? system.kernel_log() : std::nullopt;
  if (!log) {
    return std::nullopt;
  }
  std::vector<XidEvent> events;
  for (const std::string& line : *log) {
    const std::optional<XidEvent> event = xid_of(line);
    const bool known = event && std::any_of(events.begin(), events.end(), [&](const XidEvent& e) {
                         return e.pci == event->pci && e.code == event->code;
                       });
    if (event && !known && events.size() < kMostXids) {
      events.push_back(*event);
    }
  }
  return events;
}

}  // namespace

// "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.03  Release Build  (...)", or
// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Thu ...".
void add_kernel_driver(const System& system, Inventory& inventory) {
  const std::string text = system.read("/proc/driver/nvidia/version").value_or("");
  if (text.empty()) {
    if (system.exists("/dev/nvidiactl")) {
      inventory.add_error("driver", "/proc/driver/nvidia/version cannot be read");
    }
    return;  // no driver is loaded; under WSL it is Windows' own
  }
  const std::string line = text.substr(0, text.find('\n'));
  const size_t module = line.find("Kernel Module");
  if (module == std::string::npos) {
    inventory.add_error("driver", "/proc/driver/nvidia/version has an unknown form");
    return;
  }
  inventory.driver.module =
      line.find("Open Kernel Module") != std::string::npos ? "open" : "proprietary";
  for (const std::string_view word : split(std::string_view{line}.substr(module), ' ')) {
    if (!word.empty() && is_version(word)) {
      inventory.driver.version = std::string(word);
      return;
    }
  }
  inventory.add_error("driver", "/proc/driver/nvidia/version tells no version");
}

void add_driver_surroundings(const System& system, Inventory& inventory) {
  DriverFacts& driver = inventory.driver;
  driver.nodes = device_nodes(system);
  const std::vector<std::string> links = system.list("/dev/char");
  driver.char_links = std::any_of(
      links.begin(), links.end(), [](const std::string& name) { return name.starts_with("195:"); });
  const std::vector<std::string> devices = system.list("/dev");
  driver.nvswitches = std::count_if(devices.begin(), devices.end(), [](const std::string& name) {
    return is_numbered(name, "nvidia-nvswitch");
  });
  driver.fabric_manager = runs(system, "nv-fabricmanager");
  driver.imex_channels = static_cast<int64_t>(system.list("/dev/nvidia-caps-imex-channels").size());
  if (const std::optional<std::string> modules = system.read("/proc/modules")) {
    driver.peermem = modules->starts_with("nvidia_peermem ") ||
                     modules->find("\nnvidia_peermem ") != std::string::npos;
  }
  driver.compat = compat_library(system);
  driver.xids = xids_of_log(system);
}

}  // namespace tutti
