#include "inventory/pci_gpus.h"

#include <array>

namespace tutti {

namespace {

constexpr const char* kDevices = "/sys/bus/pci/devices";

// "32.0 GT/s PCIe" -> 5; a link that sleeps or is down says "Unknown".
std::optional<int64_t> generation(std::string_view speed) {
  constexpr std::array<std::string_view, 7> kSpeeds{
      "2.5 GT/s", "5.0 GT/s", "8.0 GT/s", "16.0 GT/s", "32.0 GT/s", "64.0 GT/s", "128.0 GT/s"};
  for (size_t i = 0; i < kSpeeds.size(); ++i) {
    // Older kernels write "5 GT/s".
    const std::string_view number = kSpeeds[i].substr(0, kSpeeds[i].find(' '));
    if (speed.starts_with(kSpeeds[i]) ||
        (number.ends_with(".0") && speed.starts_with(number.substr(0, number.size() - 2)) &&
         speed.substr(number.size() - 2).starts_with(" GT/s"))) {
      return static_cast<int64_t>(i) + 1;
    }
  }
  return std::nullopt;
}

// 0 and 63 stand for no link; 255 for a function that no longer answers.
std::optional<int64_t> width(std::string_view text) {
  const std::optional<int64_t> lanes = to_int(text);
  return lanes && *lanes > 0 && *lanes <= 32 ? lanes : std::nullopt;
}

}  // namespace

std::optional<std::vector<PciGpu>> pci_gpus(const System& system) {
  if (!system.exists(kDevices)) {
    return std::nullopt;
  }
  std::vector<PciGpu> gpus;
  for (const std::string& address : system.list(kDevices)) {
    const auto read = [&](const char* name) {
      return system.read(std::string(kDevices) + "/" + address + "/" + name).value_or("");
    };
    if (read("vendor") != "0x10de" || !read("class").starts_with("0x03")) {
      continue;
    }
    PciGpu gpu{.address = address,
               .link = {.gen = generation(read("current_link_speed")),
                        .gen_max = generation(read("max_link_speed")),
                        .width = width(read("current_link_width")),
                        .width_max = width(read("max_link_width"))},
               .numa_node = to_int(read("numa_node"))};
    if (gpu.numa_node && *gpu.numa_node < 0) {  // -1: the firmware does not say
      gpu.numa_node.reset();
    }
    gpus.push_back(std::move(gpu));
  }
  return gpus;
}

}  // namespace tutti
