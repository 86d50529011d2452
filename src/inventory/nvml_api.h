// The few calls of NVML that an inventory makes, declared from NVIDIA's public reference of the
// library. Names of entry points and layouts of structs are its ABI; everything else is ours.
#pragma once
#include <cstdint>

namespace tutti::nvml {

// Return codes used by name.
enum Return : unsigned {
  kSuccess = 0,
  kInvalidArgument = 2,
  kNotSupported = 3,
  kNotFound = 6,
  kInsufficientSize = 7,
  kFunctionNotFound = 13,
  kGpuIsLost = 15,
};

struct Handle;
using Device = Handle*;

inline constexpr unsigned kNameBytes = 96;   // of names and UUIDs
inline constexpr unsigned kMaxNvLinks = 18;  // links of a GPU

// A size and a version in one word, as newer structs begin.
template <class T>
constexpr unsigned versioned(unsigned version) {
  return static_cast<unsigned>(sizeof(T)) | (version << 24U);
}

struct PciInfo {
  char legacy_bus_id[16];
  unsigned domain;
  unsigned bus;
  unsigned device;
  unsigned device_and_vendor;
  unsigned subsystem;
  char bus_id[32];  // "00000000:18:00.0"
};

struct MemoryV1 {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

struct MemoryV2 {
  unsigned version;
  unsigned long long total;
  unsigned long long reserved;
  unsigned long long free;
  unsigned long long used;
};

struct ProcessV1 {
  unsigned pid;
  unsigned long long bytes;  // all ones: not known
};

struct ProcessV3 {  // as version 2
  unsigned pid;
  unsigned long long bytes;
  unsigned gpu_instance;
  unsigned compute_instance;
};

struct Bar1Memory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

union Value {
  double as_double;
  int as_int;
  unsigned as_unsigned;
  unsigned long long as_unsigned_long;
};

struct FieldValue {
  unsigned field;
  unsigned scope;
  long long timestamp;
  long long latency;
  unsigned type;
  unsigned result;
  Value value;
};

inline constexpr unsigned kFieldRecoveryAction = 230;

struct Utilization {
  unsigned gpu;  // per cent of the last sample period in which a kernel ran
  unsigned memory;
};

struct ConfidentialState {
  unsigned environment;
  unsigned feature;  // 1: on
  unsigned dev_tools;
};

struct EventHandle;
using EventSet = EventHandle*;

struct EventData {
  Device device;
  unsigned long long type;
  unsigned long long data;  // of an Xid its code
  unsigned gpu_instance;
  unsigned compute_instance;
};

inline constexpr unsigned long long kEventXid = 8;
inline constexpr unsigned kReturnTimeout = 10;

struct FabricV1 {
  unsigned char cluster[16];
  unsigned status;
  unsigned clique;
  unsigned char state;
};

struct FabricV2 {
  unsigned version;
  unsigned char cluster[16];
  unsigned status;
  unsigned clique;
  unsigned char state;
  unsigned health;  // bit fields
};

static_assert(sizeof(PciInfo) == 68 && sizeof(MemoryV2) == 40 && sizeof(ProcessV1) == 16 &&
              sizeof(ProcessV3) == 24 && sizeof(FieldValue) == 40 && sizeof(FabricV1) == 28 &&
              sizeof(FabricV2) == 36 && sizeof(Utilization) == 8 &&
              sizeof(ConfidentialState) == 12 && sizeof(EventData) == 32);

enum P2pCapability : unsigned { kP2pRead = 0, kP2pWrite = 1, kP2pNvLink = 2, kP2pAtomics = 3 };

/// An entry point that may be missing.
template <class... Args>
struct Function {
  const char* name = "";
  unsigned (*call)(Args...) = nullptr;

  unsigned operator()(Args... args) const { return call ? call(args...) : kFunctionNotFound; }
};

using Number = Function<Device, unsigned*>;
using Text = Function<Device, char*, unsigned>;

/// X(member, type, newest name, older name of the same form or nullptr)
#define TUTTI_NVML_FUNCTIONS(X)                                                     \
  X(init, Function<>, "nvmlInit_v2", nullptr)                                       \
  X(shutdown, Function<>, "nvmlShutdown", nullptr)                                  \
  X(driver_version, TextOfSystem, "nvmlSystemGetDriverVersion", nullptr)            \
  X(cuda_version,                                                                   \
    Function<int*>,                                                                 \
    "nvmlSystemGetCudaDriverVersion_v2",                                            \
    "nvmlSystemGetCudaDriverVersion")                                               \
  X(process_name, ProcessName, "nvmlSystemGetProcessName", nullptr)                 \
  X(count, Function<unsigned*>, "nvmlDeviceGetCount_v2", "nvmlDeviceGetCount")      \
  X(handle, ByIndex, "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex") \
  X(uuid, Text, "nvmlDeviceGetUUID", nullptr)                                       \
  X(name, Text, "nvmlDeviceGetName", nullptr)                                       \
  X(pci, PciOf, "nvmlDeviceGetPciInfo_v3", nullptr)                                 \
  X(capability, TwoInts, "nvmlDeviceGetCudaComputeCapability", nullptr)             \
  X(cores, Number, "nvmlDeviceGetNumGpuCores", nullptr)                             \
  X(memory_v2, MemoryV2Of, "nvmlDeviceGetMemoryInfo_v2", nullptr)                   \
  X(memory_v1, MemoryV1Of, "nvmlDeviceGetMemoryInfo", nullptr)                      \
  X(processes_v3,                                                                   \
    ProcessesV3,                                                                    \
    "nvmlDeviceGetComputeRunningProcesses_v3",                                      \
    "nvmlDeviceGetComputeRunningProcesses_v2")                                      \
  X(processes_v1, ProcessesV1, "nvmlDeviceGetComputeRunningProcesses", nullptr)     \
  X(mig_mode, TwoNumbers, "nvmlDeviceGetMigMode", nullptr)                          \
  X(mig_count, Number, "nvmlDeviceGetMaxMigDeviceCount", nullptr)                   \
  X(mig_handle, MigByIndex, "nvmlDeviceGetMigDeviceHandleByIndex", nullptr)         \
  X(gpu_instance, Number, "nvmlDeviceGetGpuInstanceId", nullptr)                    \
  X(compute_instance, Number, "nvmlDeviceGetComputeInstanceId", nullptr)            \
  X(compute_mode, Number, "nvmlDeviceGetComputeMode", nullptr)                      \
  X(ecc_errors, EccErrors, "nvmlDeviceGetTotalEccErrors", nullptr)                  \
  X(remapped_rows, FourNumbers, "nvmlDeviceGetRemappedRows", nullptr)               \
  X(field_values, FieldValues, "nvmlDeviceGetFieldValues", nullptr)                 \
  X(clock_reasons,                                                                  \
    Bits,                                                                           \
    "nvmlDeviceGetCurrentClocksEventReasons",                                       \
    "nvmlDeviceGetCurrentClocksThrottleReasons")                                    \
  X(power, Number, "nvmlDeviceGetPowerUsage", nullptr)                              \
  X(power_limit, Number, "nvmlDeviceGetEnforcedPowerLimit", nullptr)                \
  X(power_default, Number, "nvmlDeviceGetPowerManagementDefaultLimit", nullptr)     \
  X(pcie_gen, Number, "nvmlDeviceGetCurrPcieLinkGeneration", nullptr)               \
  X(pcie_gen_max, Number, "nvmlDeviceGetMaxPcieLinkGeneration", nullptr)            \
  X(pcie_width, Number, "nvmlDeviceGetCurrPcieLinkWidth", nullptr)                  \
  X(pcie_width_max, Number, "nvmlDeviceGetMaxPcieLinkWidth", nullptr)               \
  X(bar1, Bar1Of, "nvmlDeviceGetBAR1MemoryInfo", nullptr)                           \
  X(memory_affinity, NodeSet, "nvmlDeviceGetMemoryAffinity", nullptr)               \
  X(fabric_v2, FabricV2Of, "nvmlDeviceGetGpuFabricInfoV", nullptr)                  \
  X(fabric_v1, FabricV1Of, "nvmlDeviceGetGpuFabricInfo", nullptr)                   \
  X(common_ancestor, OfPair, "nvmlDeviceGetTopologyCommonAncestor", nullptr)        \
  X(p2p_status, P2pStatus, "nvmlDeviceGetP2PStatus", nullptr)                       \
  X(nvlink_state, OfLink, "nvmlDeviceGetNvLinkState", nullptr)                      \
  X(nvlink_remote, RemoteOfLink, "nvmlDeviceGetNvLinkRemotePciInfo_v2", nullptr)    \
  X(nvlink_errors, ErrorsOfLink, "nvmlDeviceGetNvLinkErrorCounter", nullptr)        \
  X(persistence, Number, "nvmlDeviceGetPersistenceMode", nullptr)                   \
  X(retired_pending, Number, "nvmlDeviceGetRetiredPagesPendingStatus", nullptr)     \
  X(pcie_replays, Number, "nvmlDeviceGetPcieReplayCounter", nullptr)                \
  X(temperature, OfKind, "nvmlDeviceGetTemperature", nullptr)                       \
  X(clock, OfKind, "nvmlDeviceGetClockInfo", nullptr)                               \
  X(clock_max, OfKind, "nvmlDeviceGetMaxClockInfo", nullptr)                        \
  X(utilization, UtilizationOf, "nvmlDeviceGetUtilizationRates", nullptr)           \
  X(pcie_throughput, OfKind, "nvmlDeviceGetPcieThroughput", nullptr)                \
  X(confidential, ConfidentialOf, "nvmlSystemGetConfComputeState", nullptr)         \
  X(event_set, NewEvents, "nvmlEventSetCreate", nullptr)                            \
  X(event_register, RegisterEvents, "nvmlDeviceRegisterEvents", nullptr)            \
  X(event_wait, WaitEvents, "nvmlEventSetWait_v2", "nvmlEventSetWait")              \
  X(event_free, FreeEvents, "nvmlEventSetFree", nullptr)

using TextOfSystem = Function<char*, unsigned>;
using ProcessName = Function<unsigned, char*, unsigned>;
using ByIndex = Function<unsigned, Device*>;
using MigByIndex = Function<Device, unsigned, Device*>;
using PciOf = Function<Device, PciInfo*>;
using TwoInts = Function<Device, int*, int*>;
using TwoNumbers = Function<Device, unsigned*, unsigned*>;
using FourNumbers = Function<Device, unsigned*, unsigned*, unsigned*, unsigned*>;
using MemoryV1Of = Function<Device, MemoryV1*>;
using MemoryV2Of = Function<Device, MemoryV2*>;
using ProcessesV1 = Function<Device, unsigned*, ProcessV1*>;
using ProcessesV3 = Function<Device, unsigned*, ProcessV3*>;
using EccErrors = Function<Device, unsigned, unsigned, unsigned long long*>;
using FieldValues = Function<Device, int, FieldValue*>;
using Bits = Function<Device, unsigned long long*>;
using Bar1Of = Function<Device, Bar1Memory*>;
using NodeSet = Function<Device, unsigned, unsigned long*, unsigned>;
using FabricV1Of = Function<Device, FabricV1*>;
using FabricV2Of = Function<Device, FabricV2*>;
using OfPair = Function<Device, Device, unsigned*>;
using P2pStatus = Function<Device, Device, unsigned, unsigned*>;
using OfLink = Function<Device, unsigned, unsigned*>;
using RemoteOfLink = Function<Device, unsigned, PciInfo*>;
using ErrorsOfLink = Function<Device, unsigned, unsigned, unsigned long long*>;
using OfKind = Function<Device, unsigned, unsigned*>;
using UtilizationOf = Function<Device, Utilization*>;
using ConfidentialOf = Function<ConfidentialState*>;
using NewEvents = Function<EventSet*>;
using RegisterEvents = Function<Device, unsigned long long, EventSet>;
using WaitEvents = Function<EventSet, EventData*, unsigned>;
using FreeEvents = Function<EventSet>;

struct Functions {
#define TUTTI_DECLARE(member, type, newest, older) type member;
  TUTTI_NVML_FUNCTIONS(TUTTI_DECLARE)
#undef TUTTI_DECLARE
};

}  // namespace tutti::nvml
