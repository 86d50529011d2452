// NVML in miniature: answers as the JSON file named by TUTTI_MOCK_NVML says (mock_nvml.md).
// Structs are written by their offsets in NVIDIA's ABI and not by the program's declarations, so
// that a wrong declaration is found.
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <unistd.h>

#include "base/json.h"

namespace {

using tutti::Json;

constexpr unsigned kSuccess = 0;
constexpr unsigned kUninitialised = 1;
constexpr unsigned kInvalidArgument = 2;
constexpr unsigned kNotSupported = 3;
constexpr unsigned kNotFound = 6;
constexpr unsigned kInsufficientSize = 7;
constexpr unsigned kWrongVersion = 25;

struct MockGpu {
  const Json* json = nullptr;  // of the whole GPU
  const Json* part = nullptr;  // of a MIG device
  unsigned index = 0;          // of the whole GPU
  std::vector<MockGpu> parts;
};

std::optional<Json> machine;
std::vector<MockGpu> gpus;

const Json* look(const MockGpu& gpu, const char* key) {
  const Json* found = gpu.part != nullptr ? gpu.part->find(key) : nullptr;
  found = found == nullptr ? gpu.json->find(key) : found;
  const Json* all = machine->find("all");
  return found == nullptr && all != nullptr ? all->find(key) : found;
}

int64_t number(const MockGpu& gpu, const char* key, int64_t fallback) {
  const Json* found = look(gpu, key);
  return found == nullptr ? fallback : found->as_int();
}

std::string text(const MockGpu& gpu, const char* key, const std::string& fallback) {
  const Json* found = look(gpu, key);
  return found == nullptr ? fallback : found->as_string();
}

// The code that the file gives to a function: of all GPUs, or of this one.
unsigned planned(const Json* json, const char* function) {
  const Json* fail = json == nullptr ? nullptr : json->find("fail");
  const Json* code = fail == nullptr ? nullptr : fail->find(function);
  return code == nullptr ? kSuccess : static_cast<unsigned>(code->as_int());
}

unsigned planned(const char* function, const MockGpu* gpu = nullptr) {
  if (!machine) {
    return kUninitialised;
  }
  const unsigned code = planned(&*machine, function);
  return code == kSuccess && gpu != nullptr ? planned(gpu->json, function) : code;
}

template <class T>
void put(void* base, size_t offset, T value) {
  std::memcpy(static_cast<char*>(base) + offset, &value, sizeof value);
}

template <class T>
T get(const void* base, size_t offset) {
  T value;
  std::memcpy(&value, static_cast<const char*>(base) + offset, sizeof value);
  return value;
}

unsigned put_text(const std::string& value, char* out, unsigned room) {
  if (value.size() >= room) {
    return kInsufficientSize;
  }
  std::memcpy(out, value.c_str(), value.size() + 1);
  return kSuccess;
}

uint64_t bus_of(unsigned index) {
  return 0x18 + 0x10 * static_cast<uint64_t>(index);
}

// nvmlPciInfo_t: 16 bytes of text, domain, bus, device, two ids, 32 bytes of text.
void put_pci(void* out, unsigned bus) {
  std::memset(out, 0, 68);
  put<unsigned>(out, 20, bus);
  put<unsigned>(out, 28, 0x233510de);
  char name[32] = {};
  std::snprintf(name, sizeof name, "00000000:%02X:00.0", bus);
  std::memcpy(static_cast<char*>(out) + 36, name, sizeof name);
}

unsigned memory(const MockGpu& gpu, void* out, size_t total, size_t free, size_t used) {
  const auto all = static_cast<uint64_t>(number(gpu, "total", int64_t{150754820096}));
  const auto left = static_cast<uint64_t>(number(gpu, "free", int64_t{150754820096 - 104857600}));
  put<uint64_t>(out, total, all);
  put<uint64_t>(out, free, left);
  put<uint64_t>(out, used, all - left);
  return kSuccess;
}

template <class Write>
unsigned processes(const MockGpu& gpu, unsigned* count, const Write& write) {
  const Json* list = look(gpu, "processes");
  const unsigned room = *count;
  *count = list == nullptr ? 0 : static_cast<unsigned>(list->as_array().size());
  if (*count > room) {
    return kInsufficientSize;
  }
  for (unsigned i = 0; i < *count; ++i) {
    const Json& process = list->as_array()[i];
    const Json* bytes = process.find("bytes");
    write(i,
          static_cast<unsigned>(process.find("pid")->as_int()),
          bytes->is_null() ? ~uint64_t{0} : static_cast<uint64_t>(bytes->as_int()));
  }
  return kSuccess;
}

}  // namespace

#define MOCK(name, ...) extern "C" __attribute__((visibility("default"))) unsigned name(__VA_ARGS__)
#define MOCK_GPU(name, ...)                          \
  const unsigned planned_code = planned(#name, gpu); \
  if (planned_code != kSuccess) {                    \
    return planned_code;                             \
  }
#define MOCK_NUMBER(name, key, fallback)                       \
  MOCK(name, MockGpu* gpu, unsigned* out) {                    \
    MOCK_GPU(name)                                             \
    *out = static_cast<unsigned>(number(*gpu, key, fallback)); \
    return kSuccess;                                           \
  }

MOCK(nvmlInit_v2) {
  const char* path = std::getenv("TUTTI_MOCK_NVML");  // NOLINT(concurrency-mt-unsafe)
  tutti::Result<Json> json = tutti::parse_json_file(path == nullptr ? "" : path);
  if (!json.ok()) {
    return 999;
  }
  if (json->find("crash") != nullptr) {
    std::raise(SIGKILL);  // leaves no core file
  }
  if (const unsigned code = planned(&*json, "nvmlInit_v2"); code != kSuccess) {
    return code;
  }
  machine = std::move(json).value();
  gpus.clear();
  for (const Json& one : machine->find("gpus")->as_array()) {
    MockGpu& gpu = gpus.emplace_back();
    gpu.json = &one;
    gpu.index = static_cast<unsigned>(gpus.size() - 1);
    if (const Json* parts = one.find("mig")) {
      for (const Json& part : parts->as_array()) {
        gpu.parts.push_back({.json = &one, .part = &part, .index = gpu.index});
      }
    }
  }
  return kSuccess;
}

MOCK(nvmlShutdown) {
  gpus.clear();
  machine.reset();
  return kSuccess;
}

MOCK(nvmlSystemGetDriverVersion, char* out, unsigned room) {
  const Json* version = machine->find("driver");
  return put_text(version == nullptr ? "580.159.03" : version->as_string(), out, room);
}

MOCK(nvmlDeviceGetCount_v2, unsigned* out) {
  if (const unsigned code = planned("nvmlDeviceGetCount_v2"); code != kSuccess) {
    return code;
  }
  *out = static_cast<unsigned>(gpus.size());
  return kSuccess;
}

MOCK(nvmlDeviceGetHandleByIndex_v2, unsigned index, MockGpu** out) {
  if (index >= gpus.size()) {
    return kInvalidArgument;
  }
  *out = &gpus[index];
  return planned("nvmlDeviceGetHandleByIndex_v2", &gpus[index]);
}

MOCK(nvmlDeviceGetUUID, MockGpu* gpu, char* out, unsigned room) {
  MOCK_GPU(nvmlDeviceGetUUID)
  char fallback[64];
  std::snprintf(fallback, sizeof fallback, "GPU-%08x-0000-4000-8000-000000000000", gpu->index + 1);
  return put_text(text(*gpu, "uuid", fallback), out, room);
}

MOCK(nvmlDeviceGetName, MockGpu* gpu, char* out, unsigned room) {
  MOCK_GPU(nvmlDeviceGetName)
  return put_text(text(*gpu, "name", "NVIDIA H200"), out, room);
}

MOCK(nvmlDeviceGetPciInfo_v3, MockGpu* gpu, void* out) {
  MOCK_GPU(nvmlDeviceGetPciInfo_v3)
  put_pci(out,
          static_cast<unsigned>(number(*gpu, "bus", static_cast<int64_t>(bus_of(gpu->index)))));
  return kSuccess;
}

MOCK(nvmlDeviceGetCudaComputeCapability, MockGpu* gpu, int* major, int* minor) {
  MOCK_GPU(nvmlDeviceGetCudaComputeCapability)
  const int64_t capability = number(*gpu, "capability", 90);
  *major = static_cast<int>(capability / 10);
  *minor = static_cast<int>(capability % 10);
  return kSuccess;
}

MOCK(nvmlDeviceGetMemoryInfo, MockGpu* gpu, void* out) {
  MOCK_GPU(nvmlDeviceGetMemoryInfo)
  return memory(*gpu, out, 0, 8, 16);
}

MOCK(nvmlSystemGetProcessName, unsigned pid, char* out, unsigned room) {
  for (const MockGpu& gpu : gpus) {
    if (const Json* list = look(gpu, "processes")) {
      for (const Json& process : list->as_array()) {
        const Json* name = process.find("name");
        if (process.find("pid")->as_int() == pid && name != nullptr) {
          return put_text(name->as_string(), out, room);
        }
      }
    }
  }
  return kNotFound;
}

MOCK(nvmlDeviceGetMigMode, MockGpu* gpu, unsigned* now, unsigned* next) {
  MOCK_GPU(nvmlDeviceGetMigMode)
  *now = gpu->json->find("mig") != nullptr ? 1 : 0;
  *next = static_cast<unsigned>(number(*gpu, "mig_next", *now));
  return kSuccess;
}

MOCK(nvmlDeviceGetMaxMigDeviceCount, MockGpu* gpu, unsigned* out) {
  MOCK_GPU(nvmlDeviceGetMaxMigDeviceCount)
  *out = 7;
  return kSuccess;
}

MOCK(nvmlDeviceGetMigDeviceHandleByIndex, MockGpu* gpu, unsigned index, MockGpu** out) {
  MOCK_GPU(nvmlDeviceGetMigDeviceHandleByIndex)
  // Places may be empty between others: the parts take every second one.
  if (index % 2 != 0 || index / 2 >= gpu->parts.size()) {
    return kNotFound;
  }
  *out = &gpu->parts[index / 2];
  return kSuccess;
}

MOCK_NUMBER(nvmlDeviceGetGpuInstanceId, "gi", 0)
MOCK_NUMBER(nvmlDeviceGetComputeInstanceId, "ci", 0)
MOCK_NUMBER(nvmlDeviceGetComputeMode, "compute_mode", 0)
MOCK_NUMBER(nvmlDeviceGetPowerUsage, "power", 75500)
MOCK_NUMBER(nvmlDeviceGetEnforcedPowerLimit, "power_limit", 700000)
MOCK_NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, "power_default", 700000)
MOCK_NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_gen", 5)
MOCK_NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_gen_max", 5)
MOCK_NUMBER(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width", 16)
MOCK_NUMBER(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width_max", 16)

MOCK_NUMBER(nvmlDeviceGetPersistenceMode, "persistence", 1)
MOCK_NUMBER(nvmlDeviceGetRetiredPagesPendingStatus, "retired_pending", 0)
MOCK_NUMBER(nvmlDeviceGetPcieReplayCounter, "pcie_replays", 0)

MOCK(nvmlDeviceGetTemperature, MockGpu* gpu, unsigned sensor, unsigned* out) {
  MOCK_GPU(nvmlDeviceGetTemperature)
  *out = static_cast<unsigned>(number(*gpu, "temperature", 34));
  return sensor == 0 ? kSuccess : kInvalidArgument;
}

MOCK(nvmlDeviceGetUtilizationRates, MockGpu* gpu, unsigned* out) {
  MOCK_GPU(nvmlDeviceGetUtilizationRates)
  out[0] = static_cast<unsigned>(number(*gpu, "busy", 0));
  out[1] = static_cast<unsigned>(number(*gpu, "memory_busy", 0));
  return kSuccess;
}

// Clocks of the SMs (1) alone.
MOCK(nvmlDeviceGetClockInfo, MockGpu* gpu, unsigned kind, unsigned* out) {
  MOCK_GPU(nvmlDeviceGetClockInfo)
  *out = static_cast<unsigned>(number(*gpu, "clock", 345));
  return kind == 1 ? kSuccess : kInvalidArgument;
}

MOCK(nvmlDeviceGetMaxClockInfo, MockGpu* gpu, unsigned kind, unsigned* out) {
  MOCK_GPU(nvmlDeviceGetMaxClockInfo)
  *out = static_cast<unsigned>(number(*gpu, "clock_max", 1980));
  return kind == 1 ? kSuccess : kInvalidArgument;
}

// In KB/s: sent (0), received (1).
MOCK(nvmlDeviceGetPcieThroughput, MockGpu* gpu, unsigned counter, unsigned* out) {
  MOCK_GPU(nvmlDeviceGetPcieThroughput)
  *out = static_cast<unsigned>(number(*gpu, counter == 0 ? "pcie_tx" : "pcie_rx", 0));
  return counter < 2 ? kSuccess : kInvalidArgument;
}

MOCK(
    nvmlDeviceGetNvLinkErrorCounter, MockGpu* gpu, unsigned link, unsigned counter, uint64_t* out) {
  MOCK_GPU(nvmlDeviceGetNvLinkErrorCounter)
  *out = link == 0 && counter == 0 ? static_cast<uint64_t>(number(*gpu, "link_errors", 0)) : 0;
  return kSuccess;
}

// nvmlConfComputeSystemState_t: environment, feature, development tools.
MOCK(nvmlSystemGetConfComputeState, unsigned* out) {
  const Json* feature = machine->find("confidential");
  out[0] = out[2] = 0;
  out[1] = feature == nullptr ? 0 : static_cast<unsigned>(feature->as_int());
  return kSuccess;
}

MOCK(nvmlEventSetCreate, int** out) {
  static int set = 0;
  *out = &set;
  return kSuccess;
}

MOCK(nvmlDeviceRegisterEvents, MockGpu* gpu, unsigned long long types, int* /*set*/) {
  MOCK_GPU(nvmlDeviceRegisterEvents)
  return types == 8 ? kSuccess : kNotSupported;
}

MOCK(nvmlEventSetFree, int* /*set*/) {
  return kSuccess;
}

// One event for each entry of "events": {"gpu": 3, "xid": 79}; then there are none.
MOCK(nvmlEventSetWait_v2, int* /*set*/, void* out, unsigned milliseconds) {
  static size_t next = 0;
  const Json* events = machine->find("events");
  if (events == nullptr || next >= events->as_array().size()) {
    usleep(1000 * milliseconds);
    return 10;  // NVML_ERROR_TIMEOUT
  }
  const Json& event = events->as_array()[next++];
  put<MockGpu*>(out, 0, &gpus[static_cast<size_t>(event.find("gpu")->as_int())]);
  put<uint64_t>(out, 8, 8);
  put<uint64_t>(out, 16, static_cast<uint64_t>(event.find("xid")->as_int()));
  return kSuccess;
}

MOCK(nvmlDeviceGetTotalEccErrors, MockGpu* gpu, unsigned type, unsigned counter, uint64_t* out) {
  MOCK_GPU(nvmlDeviceGetTotalEccErrors)
  if (type != 1 || counter != 0) {
    return kInvalidArgument;
  }
  *out = static_cast<uint64_t>(number(*gpu, "ecc", 0));
  return kSuccess;
}

MOCK(nvmlDeviceGetBAR1MemoryInfo, MockGpu* gpu, void* out) {
  MOCK_GPU(nvmlDeviceGetBAR1MemoryInfo)
  put<uint64_t>(out, 0, uint64_t{256} << 30);
  return kSuccess;
}

MOCK(nvmlDeviceGetTopologyCommonAncestor, MockGpu* gpu, MockGpu* /*other*/, unsigned* out) {
  MOCK_GPU(nvmlDeviceGetTopologyCommonAncestor)
  *out = static_cast<unsigned>(number(*gpu, "ancestor", 50));
  return kSuccess;
}

MOCK(nvmlDeviceGetP2PStatus, MockGpu* gpu, MockGpu* other, unsigned what, unsigned* out) {
  MOCK_GPU(nvmlDeviceGetP2PStatus)
  if (gpu == other || what > 3) {
    return kInvalidArgument;
  }
  const bool nvlink = number(*gpu, "links", 18) > 0;
  *out = static_cast<unsigned>(what == 2 ? (nvlink ? 0 : 5) : number(*gpu, "p2p", 0));
  return kSuccess;
}

MOCK(nvmlDeviceGetNvLinkState, MockGpu* gpu, unsigned link, unsigned* active) {
  MOCK_GPU(nvmlDeviceGetNvLinkState)
  const int64_t links = number(*gpu, "links", 18);
  if (links == 0) {
    return kNotSupported;
  }
  if (link >= 18) {
    return kInvalidArgument;
  }
  *active = link < links ? 1 : 0;
  return kSuccess;
}

// To switches, unless the file gives the other end: "peer", the bus of a GPU.
MOCK(nvmlDeviceGetNvLinkRemotePciInfo_v2, MockGpu* gpu, unsigned link, void* out) {
  MOCK_GPU(nvmlDeviceGetNvLinkRemotePciInfo_v2)
  put_pci(out, static_cast<unsigned>(number(*gpu, "peer", 0xc0 + link % 4)));
  return kSuccess;
}

#ifdef MOCK_NVML_OLD

MOCK(nvmlSystemGetCudaDriverVersion, int* out) {
  *out = 10020;
  return kSuccess;
}

MOCK(nvmlDeviceGetComputeRunningProcesses, MockGpu* gpu, unsigned* count, void* out) {
  MOCK_GPU(nvmlDeviceGetComputeRunningProcesses)
  return processes(*gpu, count, [out](unsigned i, unsigned pid, uint64_t bytes) {
    put<unsigned>(out, 16 * i, pid);
    put<uint64_t>(out, 16 * i + 8, bytes);
  });
}

MOCK(nvmlDeviceGetCurrentClocksThrottleReasons, MockGpu* gpu, uint64_t* out) {
  MOCK_GPU(nvmlDeviceGetCurrentClocksThrottleReasons)
  *out = static_cast<uint64_t>(number(*gpu, "clocks", 1));
  return kSuccess;
}

#else

MOCK_NUMBER(nvmlDeviceGetNumGpuCores, "cores", 132 * 128)

MOCK(nvmlSystemGetCudaDriverVersion_v2, int* out) {
  *out = 13000;
  return kSuccess;
}

MOCK(nvmlDeviceGetMemoryInfo_v2, MockGpu* gpu, void* out) {
  MOCK_GPU(nvmlDeviceGetMemoryInfo_v2)
  if (get<unsigned>(out, 0) != (40U | 2U << 24U)) {
    return kWrongVersion;
  }
  return memory(*gpu, out, 8, 24, 32);
}

MOCK(nvmlDeviceGetComputeRunningProcesses_v3, MockGpu* gpu, unsigned* count, void* out) {
  MOCK_GPU(nvmlDeviceGetComputeRunningProcesses_v3)
  return processes(*gpu, count, [out](unsigned i, unsigned pid, uint64_t bytes) {
    put<unsigned>(out, 24 * i, pid);
    put<uint64_t>(out, 24 * i + 8, bytes);
  });
}

MOCK(nvmlDeviceGetCurrentClocksEventReasons, MockGpu* gpu, uint64_t* out) {
  MOCK_GPU(nvmlDeviceGetCurrentClocksEventReasons)
  *out = static_cast<uint64_t>(number(*gpu, "clocks", 1));
  return kSuccess;
}

MOCK(nvmlDeviceGetRemappedRows,
     MockGpu* gpu,
     unsigned* corrected,
     unsigned* uncorrected,
     unsigned* pending,
     unsigned* failed) {
  MOCK_GPU(nvmlDeviceGetRemappedRows)
  *corrected = *uncorrected = 0;
  *pending = static_cast<unsigned>(number(*gpu, "remap_pending", 0));
  *failed = static_cast<unsigned>(number(*gpu, "remap_failed", 0));
  return kSuccess;
}

// nvmlFieldValue_t: id, scope, two times, type, result, value.
MOCK(nvmlDeviceGetFieldValues, MockGpu* gpu, int count, void* out) {
  MOCK_GPU(nvmlDeviceGetFieldValues)
  for (int i = 0; i < count; ++i) {
    char* field = static_cast<char*>(out) + 40 * i;
    const bool known = get<unsigned>(field, 0) == 230;
    put<unsigned>(field, 28, known ? kSuccess : kNotSupported);
    put<unsigned>(field, 32, static_cast<unsigned>(number(*gpu, "recovery", 0)));
  }
  return kSuccess;
}

MOCK(
    nvmlDeviceGetMemoryAffinity, MockGpu* gpu, unsigned words, unsigned long* out, unsigned scope) {
  MOCK_GPU(nvmlDeviceGetMemoryAffinity)
  if (words == 0 || scope != 0) {
    return kInvalidArgument;
  }
  out[0] = 1UL << (gpu->index / 4);
  return kSuccess;
}

// nvmlGpuFabricInfo_v2_t: version, 16 bytes of UUID, status, clique, state, health.
MOCK(nvmlDeviceGetGpuFabricInfoV, MockGpu* gpu, void* out) {
  MOCK_GPU(nvmlDeviceGetGpuFabricInfoV)
  if (get<unsigned>(out, 0) != 0x02000024U) {
    return kWrongVersion;
  }
  put<unsigned char>(out, 4, static_cast<unsigned char>(number(*gpu, "cluster", 0)));
  put<unsigned>(out, 20, static_cast<unsigned>(number(*gpu, "fabric_status", 0)));
  put<unsigned>(out, 24, static_cast<unsigned>(number(*gpu, "clique", 0)));
  put<unsigned char>(out, 28, static_cast<unsigned char>(number(*gpu, "fabric", 3)));
  put<unsigned>(out, 32, static_cast<unsigned>(number(*gpu, "fabric_health", 0x1aa)));
  return kSuccess;
}

#endif
