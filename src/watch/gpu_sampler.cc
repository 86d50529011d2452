#include "watch/gpu_sampler.h"

#include <algorithm>
#include <array>
#include <thread>

#include <fmt/format.h>

#include "inventory/nvml_gpu.h"

namespace tutti {

namespace {

constexpr unsigned kMostGpus = 1024;
constexpr unsigned kSmClock = 1;
constexpr unsigned kUncorrected = 1;

// Bits of the clocks' reasons that mean trouble: idle clocks and set limits do not.
struct SlowBit {
  unsigned bit;
  const char* word;
};

constexpr std::array kSlowBits{SlowBit{3, "hw_slowdown"},
                               SlowBit{5, "sw_thermal"},
                               SlowBit{6, "hw_thermal"},
                               SlowBit{7, "hw_power_brake"}};

std::vector<std::string> slow_words(unsigned long long bits) {
  std::vector<std::string> words;
  for (const SlowBit& slow : kSlowBits) {
    if ((bits >> slow.bit & 1U) != 0) {
      words.emplace_back(slow.word);
    }
  }
  return words;
}

// Calls about one GPU; once it is lost nothing more is asked.
class Asker {
 public:
  explicit Asker(nvml::Device device) : device_(device) {}

  bool lost() const { return lost_; }

  template <class... Parameters, class... Args>
  bool ok(const nvml::Function<nvml::Device, Parameters...>& function, Args... args) {
    const unsigned code = lost_ ? nvml::kGpuIsLost : function(device_, args...);
    lost_ = lost_ || code == nvml::kGpuIsLost;
    return code == nvml::kSuccess;
  }

  template <class Function, class... Args>
  std::optional<int64_t> number(const Function& function, Args... args) {
    unsigned value = 0;
    return ok(function, args..., &value) && value != UINT32_MAX ? std::optional<int64_t>(value)
                                                                : std::nullopt;
  }

  std::optional<std::string> text(const nvml::Text& function) {
    std::array<char, nvml::kNameBytes + 1> buffer{};
    return ok(function, buffer.data(), nvml::kNameBytes) ? std::optional(std::string(buffer.data()))
                                                         : std::nullopt;
  }

 private:
  nvml::Device device_;
  bool lost_ = false;
};

std::optional<double> scaled(std::optional<int64_t> value, double factor) {
  return value ? std::optional(static_cast<double>(*value) * factor) : std::nullopt;
}

std::vector<GpuProcess> processes_of(const nvml::Functions& f, Asker& ask) {
  std::vector<GpuProcess> out;
  std::array<nvml::ProcessV3, 64> list{};
  unsigned count = list.size();
  if (!ask.ok(f.processes_v3, &count, list.data())) {
    return out;
  }
  for (size_t i = 0; i < std::min<size_t>(count, list.size()); ++i) {
    std::array<char, 1024> buffer{};
    GpuProcess& process = out.emplace_back();
    if (f.process_name(list[i].pid, buffer.data(), static_cast<unsigned>(buffer.size() - 1)) ==
        nvml::kSuccess) {
      const std::string path(buffer.data());
      const std::string program = path.substr(0, path.find(' '));
      process.name = program.substr(program.rfind('/') + 1);
    }
    if (list[i].bytes != ~0ULL) {
      process.bytes = static_cast<int64_t>(list[i].bytes);
    }
  }
  return out;
}

}  // namespace

// The set of events, and which GPU a handle is.
struct GpuSampler::Events {
  nvml::EventSet set = nullptr;
  std::vector<nvml::Device> devices;  // by index
};

GpuSampler::GpuSampler(std::unique_ptr<NvmlLibrary> library) : library_(std::move(library)) {
  const nvml::Functions& f = library_->functions();
  unsigned count = 0;
  auto events = std::make_unique<Events>();
  if (f.count(&count) != nvml::kSuccess || f.event_set(&events->set) != nvml::kSuccess) {
    return;
  }
  bool any = false;
  for (unsigned i = 0; i < std::min(count, kMostGpus); ++i) {
    nvml::Device device = nullptr;
    const bool found = f.handle(i, &device) == nvml::kSuccess;
    any =
        (found && f.event_register(device, nvml::kEventXid, events->set) == nvml::kSuccess) || any;
    events->devices.push_back(device);
  }
  if (any) {
    events_ = std::move(events);
  } else {
    f.event_free(events->set);
  }
}

GpuSampler::~GpuSampler() {
  if (events_ != nullptr) {
    library_->functions().event_free(events_->set);
  }
}

Result<std::unique_ptr<GpuSampler>> GpuSampler::open(const std::vector<std::string>& names) {
  TUTTI_TRY(std::unique_ptr<NvmlLibrary> library, NvmlLibrary::open(names));
  return std::unique_ptr<GpuSampler>(new GpuSampler(std::move(library)));
}

std::vector<GpuReading> GpuSampler::read() {
  unsigned count = 0;
  std::vector<GpuReading> gpus;
  if (library_->functions().count(&count) == nvml::kSuccess) {
    for (unsigned i = 0; i < std::min(count, kMostGpus); ++i) {
      gpus.push_back(read_one(i));
    }
  }
  return gpus;
}

GpuReading GpuSampler::read_one(unsigned index) {
  const nvml::Functions& f = library_->functions();
  GpuReading gpu{.index = index};
  nvml::Device device = nullptr;
  if (f.handle(index, &device) != nvml::kSuccess) {
    gpu.lost = true;
    return gpu;
  }
  Asker ask(device);
  gpu.uuid = ask.text(f.uuid);
  gpu.name = ask.text(f.name);
  nvml::PciInfo pci{};
  if (ask.ok(f.pci, &pci)) {
    gpu.pci = pci_address(pci);
  }
  nvml::Utilization busy{};
  if (ask.ok(f.utilization, &busy)) {
    gpu.busy = busy.gpu / 100.0;
    gpu.memory_busy = busy.memory / 100.0;
  }
  nvml::MemoryV2 v2{.version = nvml::versioned<nvml::MemoryV2>(2)};
  nvml::MemoryV1 v1{};
  if (ask.ok(f.memory_v2, &v2)) {
    gpu.memory_total_bytes = static_cast<int64_t>(v2.total);
    gpu.memory_used_bytes = static_cast<int64_t>(v2.total - std::min(v2.free, v2.total));
  } else if (ask.ok(f.memory_v1, &v1)) {
    gpu.memory_total_bytes = static_cast<int64_t>(v1.total);
    gpu.memory_used_bytes = static_cast<int64_t>(v1.total - std::min(v1.free, v1.total));
  }
  gpu.temperature_celsius = ask.number(f.temperature, 0U);
  gpu.clock_mhz = ask.number(f.clock, kSmClock);
  gpu.clock_max_mhz = ask.number(f.clock_max, kSmClock);
  gpu.power_watts = scaled(ask.number(f.power), 1e-3);
  gpu.power_limit_watts = scaled(ask.number(f.power_limit), 1e-3);
  gpu.pcie_sent_bytes_per_second = scaled(ask.number(f.pcie_throughput, 0U), 1e3);
  gpu.pcie_received_bytes_per_second = scaled(ask.number(f.pcie_throughput, 1U), 1e3);
  unsigned long long errors = 0;
  if (ask.ok(f.ecc_errors, kUncorrected, 0U, &errors)) {
    gpu.ecc_uncorrected = static_cast<int64_t>(errors);
  }
  unsigned long long reasons = 0;
  if (ask.ok(f.clock_reasons, &reasons)) {
    gpu.slowed_by = slow_words(reasons);
  }
  gpu.processes = processes_of(f, ask);
  gpu.lost = ask.lost();
  return gpu;
}

std::optional<GpuSampler::Xid> GpuSampler::wait_for_xid(std::chrono::milliseconds limit) {
  if (events_ == nullptr) {
    std::this_thread::sleep_for(limit);
    return std::nullopt;
  }
  nvml::EventData event{};
  const unsigned code =
      library_->functions().event_wait(events_->set, &event, static_cast<unsigned>(limit.count()));
  if (code == nvml::kReturnTimeout) {
    return std::nullopt;
  }
  if (code != nvml::kSuccess) {
    std::this_thread::sleep_for(limit);  // a lost GPU may end every wait at once
    return std::nullopt;
  }
  const auto device = std::find(events_->devices.begin(), events_->devices.end(), event.device);
  if (event.type != nvml::kEventXid || device == events_->devices.end()) {
    return std::nullopt;
  }
  return Xid{.gpu = device - events_->devices.begin(), .code = static_cast<int64_t>(event.data)};
}

}  // namespace tutti
