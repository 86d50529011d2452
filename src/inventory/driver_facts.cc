#include "inventory/driver_facts.h"

#include <algorithm>

namespace tutti {

namespace {

// "580.159.03": what is made of digits and dots, with a dot between digits.
bool is_version(std::string_view word) {
  return word.find_first_not_of("0123456789.") == std::string_view::npos &&
         word.find('.') != std::string_view::npos && word.front() != '.' && word.back() != '.';
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

}  // namespace tutti
