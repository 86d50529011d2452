// Every check of the doctor: content with a sound machine, and not with one that has its fault.
#include <functional>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doctor/machines.h"

namespace tutti::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Patient {
  Inventory machine = sound_machine();
  Live live{.port_error = ""};
  ModelQuestion model = sound_model();
  bool here = true;

  Outcome look(const std::string& id) const {
    const std::vector<Finding> all =
        examine({.inventory = machine, .live = here ? &live : nullptr, .model = &model});
    for (const Finding& finding : all) {
      if (finding.id == id) {
        return finding.outcome;
      }
    }
    ADD_FAILURE() << "no check " << id;
    return {};
  }
};

struct Case {
  const char* id;
  const char* name;
  Severity severity;
  const char* what;    // part of it
  const char* remedy;  // part of it
  std::function<void(Patient&)> harm;
};

void in_docker(Patient& p) {
  p.machine.host.kind = "docker";
}

// The faults, one line of harm each.
const std::vector<Case>& cases() {
  constexpr auto kError = Severity::kError;
  constexpr auto kWarning = Severity::kWarning;
  constexpr auto kInfo = Severity::kInfo;
  constexpr auto kSkipped = Severity::kSkipped;
  static const std::vector<Case> kCases{
      // clang-format off
      {"gpu.count", "Lost", kError, "8 GPUs on the PCI bus, 7 shown", "reseat", [](Patient& p) { p.machine.counts.nvml = 7; }},
      {"gpu.count", "NoDriver", kError, "the driver shows none", "driver.nvml", [](Patient& p) { p.machine.counts.nvml.reset(); }},
      {"gpu.count", "NotInCuda", kError, "CUDA none", "gpu.mask", [](Patient& p) { p.machine.counts.cuda = 0; }},
      {"gpu.last_good", "OneLess", kError, "8 GPUs at the last good start, 7 now", "Xid", [](Patient& p) { p.machine.counts.nvml = 7; }},
      {"gpu.last_good", "OneLessInDocker", kError, "7 now", "docker run --gpus all", [](Patient& p) { in_docker(p); p.machine.counts.nvml = 7; }},
      {"gpu.last_good", "Never", kSkipped, "no model has been loaded", "", [](Patient& p) { p.machine.counts.last_good.reset(); }},
      {"gpu.hidden", "NotGiven", kWarning, "1 of 8 GPUs are not given", "docker run --gpus all (compose: gpus: all)", [](Patient& p) { in_docker(p); p.machine.gpus[7].nvml_index.reset(); p.machine.gpus[7].index.reset(); }},
      {"gpu.hidden", "NotGivenInPod", kInfo, "not given", "nvidia.com/gpu", [](Patient& p) { p.machine.host.kind = "kubernetes"; p.machine.env["NVIDIA_VISIBLE_DEVICES"] = "GPU-00000000"; p.machine.gpus[7].nvml_index.reset(); }},
      {"gpu.hidden", "Masked", kInfo, "CUDA_VISIBLE_DEVICES=0 hides GPUs 1-7", "unset", [](Patient& p) { p.machine.env["CUDA_VISIBLE_DEVICES"] = "0"; for (size_t i = 1; i < 8; ++i) { p.machine.gpus[i].index.reset(); } }},
      {"gpu.mask", "EndsEarly", kWarning, "entry 2", "first entry that names no GPU", [](Patient& p) { p.machine.add_error("env", "CUDA_VISIBLE_DEVICES: entry 2 names no GPU"); }},
      {"gpu.mask", "Order", kInfo, "GPUs differ", "CUDA_DEVICE_ORDER=PCI_BUS_ID", [](Patient& p) { p.machine.gpus[1].name = "NVIDIA L40S"; }},
      {"gpu.lost", "Mute", kError, "GPU 3 does not answer", "reseat", [](Patient& p) { p.machine.gpus[3].uuid.reset(); p.machine.gpus[3].memory_total_bytes.reset(); }},
      {"gpu.lost", "OffTheBus", kError, "fallen off the bus", "power cables", [](Patient& p) { p.machine.add_error("nvml", "nvmlDeviceGetName: the GPU has fallen off the bus (GPU 3)"); }},
      {"container.capabilities", "NoUtility", kError, "keeps utility from", "docker run -e NVIDIA_DRIVER_CAPABILITIES=compute,utility", [](Patient& p) { in_docker(p); p.machine.env["NVIDIA_DRIVER_CAPABILITIES"] = "compute"; }},

      {"driver.nvml", "Mismatch", kError, "was not loaded anew", "restart", [](Patient& p) { p.machine.driver.nvml_error = "nvmlInit_v2: the driver's library and kernel module are of different versions: reboot"; }},
      {"driver.nvml", "None", kError, "tells nothing", "driver 580", [](Patient& p) { p.machine.driver.nvml_error = "nvmlInit_v2: error 77"; }},
      {"driver.nvml", "NoneInPod", kError, "tells nothing", "device plugin", [](Patient& p) { p.machine.host.kind = "kubernetes"; p.machine.driver.nvml_error = "x"; }},
      {"driver.version", "TooOld", kError, "serves CUDA 12.4 at most", "install driver 580", [](Patient& p) { p.machine.driver.cuda = "12.4"; }},
      {"driver.version", "TooOldInDocker", kError, "12.4", "on the host", [](Patient& p) { in_docker(p); p.machine.driver.cuda = "12.4"; }},
      {"driver.cuda", "Fabric", kError, "error 802", "nvidia-fabricmanager", [](Patient& p) { p.machine.counts.cuda.reset(); p.machine.add_error("cuda", "cudaGetDeviceCount: system not yet initialized (cudaErrorSystemNotReady)"); }},
      {"driver.cuda", "Other", kError, "CUDA does not start: odd", "driver.nvml", [](Patient& p) { p.machine.counts.cuda.reset(); p.machine.add_error("cuda", "odd"); }},
      {"driver.compat", "Found", kWarning, "/usr/local/cuda/compat/libcuda.so.1", "LD_LIBRARY_PATH", [](Patient& p) { p.machine.driver.compat = "/usr/local/cuda/compat/libcuda.so.1"; }},
      {"driver.nodes", "Closed", kError, "/dev/nvidia0: Operation not permitted", "CDI", [](Patient& p) { in_docker(p); p.machine.driver.nodes[1].error = "Operation not permitted"; }},
      {"driver.nodes", "NoUvm", kError, "/dev/nvidia-uvm is missing", "modprobe nvidia-uvm", [](Patient& p) { p.machine.driver.nodes.erase(p.machine.driver.nodes.begin()); }},
      {"driver.char_links", "None", kInfo, "/dev/char has no links", "nvidia-ctk", [](Patient& p) { p.machine.driver.char_links = false; }},
      {"driver.module", "Blackwell", kError, "open kernel modules only", "nvidia-open", [](Patient& p) { p.machine.driver.module = "proprietary"; p.machine.gpus[0].compute_capability = "10.0"; }},
      {"driver.known_bugs", "CumemHost", kInfo, "ncclCuMemHostEnable", "NCCL_CUMEM_HOST_ENABLE=0", [](Patient& p) { p.machine.driver.version = "570.124.06"; p.machine.links[0].p2p.read = "chipset_not_supported"; }},

      {"gpu.recovery", "Reset", kError, "GPU 2: the driver asks for gpu_reset", "nvidia-smi -r", [](Patient& p) { p.machine.gpus[2].recovery_action = "gpu_reset"; }},
      {"gpu.recovery", "RebootOfANode", kError, "node_reboot", "drain the node", [](Patient& p) { p.machine.host.kind = "kubernetes"; p.machine.gpus[2].recovery_action = "node_reboot"; }},
      {"gpu.xid", "OffTheBus", kError, "Xid 79 of the GPU at 0000:18:00", "power the machine off", [](Patient& p) { p.machine.driver.xids = {{.pci = "0000:18:00", .code = 31}, {.pci = "0000:18:00", .code = 79}}; }},
      {"gpu.xid", "OfAProgram", kInfo, "Xid 31", "program", [](Patient& p) { p.machine.driver.xids = {{.pci = "0000:18:00", .code = 31}}; }},
      {"gpu.xid", "Unheard", kWarning, "Xid 999", "catalogue", [](Patient& p) { p.machine.driver.xids = {{.pci = "0000:18:00", .code = 999}}; }},
      {"gpu.xid", "LogIsShut", kSkipped, "dmesg", "", [](Patient& p) { p.machine.driver.xids.reset(); }},
      {"gpu.ecc", "Errors", kWarning, "GPU 5: uncorrectable", "spare rows", [](Patient& p) { p.machine.gpus[5].ecc.uncorrected = 3; }},
      {"gpu.remap", "Pending", kWarning, "wait for a reset", "nvidia-smi -r", [](Patient& p) { p.machine.gpus[5].remapped.pending = true; }},
      {"gpu.remap", "RetiredPages", kWarning, "wait for a reset", "nvidia-smi -r", [](Patient& p) { p.machine.gpus[5].ecc.retired_pending = true; }},
      {"gpu.remap", "Failed", kError, "no spare ones are left", "exchange", [](Patient& p) { p.machine.gpus[5].remapped.failed = true; }},
      {"gpu.memory", "Taken", kWarning, "GPU 0: more than 5 % of the memory is taken (python3: 60.0 GiB)", "end those programs", [](Patient& p) { p.machine.gpus[0].memory_used_bytes = 60 * kGiB; p.machine.gpus[0].processes = {{.name = "python3", .bytes = 60 * kGiB}}; }},
      {"gpu.orphans", "Nobody", kWarning, "GPU 1: more than 1 GiB is in use", "nvidia-smi -r", [](Patient& p) { p.machine.gpus[1].memory_used_bytes = 9 * kGiB; }},
      {"gpu.orphans", "OtherContainer", kWarning, "GPU 1", "another container", [](Patient& p) { in_docker(p); p.machine.gpus[1].memory_used_bytes = 9 * kGiB; }},
      {"gpu.mig", "Divided", kInfo, "GPU 4 is divided", "nvidia-smi -mig 0", [](Patient& p) { p.machine.gpus[4].mig = true; }},
      {"gpu.mig", "Pending", kWarning, "changes at the next reset", "nvidia-smi -r", [](Patient& p) { p.machine.gpus[4].mig_pending = true; }},
      {"gpu.compute_mode", "Prohibited", kError, "prohibited", "nvidia-smi -c 0", [](Patient& p) { p.machine.gpus[4].compute_mode = "prohibited"; }},
      {"gpu.compute_mode", "TakenAlone", kError, "exclusive, and a program is on it", "nvidia-smi -c 0", [](Patient& p) { p.machine.gpus[4].compute_mode = "exclusive_process"; p.machine.gpus[4].processes = {{.name = "a"}}; }},
      {"gpu.throttle", "Hot", kWarning, "GPU 6 is slowed down: hw_thermal", "air flow", [](Patient& p) { p.machine.gpus[6].clock_reasons = {"hw_thermal"}; }},
      {"gpu.throttle", "PowerBrake", kWarning, "hw_power_brake", "power supplies", [](Patient& p) { p.machine.gpus[6].clock_reasons = {"sw_power_cap", "hw_power_brake"}; }},
      {"gpu.power_limit", "One", kWarning, "GPU 6: the power limit is below", "-pl", [](Patient& p) { p.machine.gpus[6].power_limit_watts = 500; }},
      {"gpu.power_limit", "All", kInfo, "GPUs 0-7", "-pl", [](Patient& p) { for (Gpu& gpu : p.machine.gpus) { gpu.power_limit_watts = 500; } }},
      {"gpu.speed", "SlowMemory", kWarning, "GPU 3: more than 5 % slower", "leave it out", [](Patient& p) { p.machine.gpus[3].read_bytes_per_second = 3.9e12; }},
      {"gpu.speed", "SlowProducts", kWarning, "GPU 0: more than 5 % slower", "gpu.throttle", [](Patient& p) { p.machine.gpus[0].matmul_flops_per_second = 5e14; }},
      {"gpu.speed", "OfAnotherKind", Severity::kOk, "8 GPUs are as fast", "", [](Patient& p) { p.machine.gpus[0].name = "NVIDIA L4"; p.machine.gpus[0].read_bytes_per_second = 3e11; }},
      {"gpu.speed", "NotMeasured", kSkipped, "not measured", "", [](Patient& p) { for (Gpu& gpu : p.machine.gpus) { gpu.read_bytes_per_second.reset(); gpu.matmul_flops_per_second.reset(); } }},
      {"gpu.persistence", "Off", kInfo, "GPU 0: the driver sleeps", "nvidia-smi -pm 1", [](Patient& p) { p.machine.gpus[0].persistence = false; }},
      {"gpu.mixed", "Two", kInfo, "7 x NVIDIA H200", "tutti plan", [](Patient& p) { p.machine.gpus[3].name = "NVIDIA H100"; }},
      {"gpu.architecture", "NoCode", kError, "this build has code for 80-real,90a only", "CMAKE_CUDA_ARCHITECTURES", [](Patient& p) { p.machine.libraries.architectures = "80-real,90a"; p.machine.gpus[0].compute_capability = "12.0"; }},
      {"gpu.architecture", "AllOld", kError, "older than compute capability 8.0", "Ampere", [](Patient& p) { for (Gpu& gpu : p.machine.gpus) { gpu.compute_capability = "7.0"; } }},
      {"gpu.architecture", "OneOld", kInfo, "left out", "", [](Patient& p) { p.machine.gpus[0].compute_capability = "7.5"; }},
      {"gpu.confidential", "On", kInfo, "confidential computing is on", "firmware", [](Patient& p) { p.machine.driver.confidential = true; }},

      {"link.pcie", "Narrow", kWarning, "GPU 1: PCIe x8 of x16", "reseat", [](Patient& p) { p.machine.gpus[1].pcie.width = 8; }},
      {"link.pcie", "SlowUnderLoad", kWarning, "generation 1 of 5", "reseat", [](Patient& p) { p.machine.gpus[1].clock_reasons = {"sw_power_cap"}; }},
      {"link.pcie", "Replays", kInfo, "sent again", "Replay", [](Patient& p) { p.machine.gpus[1].pcie.replays = 5000; }},
      {"link.bar1", "Small", kWarning, "BAR1", "Resizable BAR", [](Patient& p) { make_pcie(p.machine); p.machine.gpus[1].bar1_bytes = 256 << 20; }},
      {"link.nvlink", "Down", kWarning, "GPU 1: fewer than the 18 NVLinks", "nvlink -s", [](Patient& p) { p.machine.gpus[1].nvlink.active = 17; }},
      {"link.nvlink", "Errors", kInfo, "send data again", "nvlink -e", [](Patient& p) { p.machine.gpus[1].nvlink.errors = 7; }},
      {"link.p2p", "Chipset", kInfo, "chipset_not_supported", "nothing changes that", [](Patient& p) { p.machine.links[0].p2p.read = "chipset_not_supported"; }},
      {"link.p2p", "GeForce", kInfo, "gpu_not_supported", "GeForce", [](Patient& p) { p.machine.links[0].p2p.write = "gpu_not_supported"; }},
      {"link.p2p", "Topology", kInfo, "topology_not_supported", "one switch", [](Patient& p) { p.machine.links[0].p2p.write = "topology_not_supported"; }},
      {"link.p2p", "Registry", kInfo, "disabled_by_regkey", "modprobe.d", [](Patient& p) { p.machine.links[0].p2p.write = "disabled_by_regkey"; }},
      {"link.p2p_data", "Hangs", kWarning, "GPUs 0 and 1: the driver says that they reach each other, but moving data hangs", "iommu=pt", [](Patient& p) { p.machine.links[0].data_test = "hang"; }},
      {"link.p2p_data", "Lost", kWarning, "data does not arrive; so do 2 pairs", "host must allow it", [](Patient& p) { p.machine.host.kind = "vm"; p.machine.links[0].data_test = "fail"; p.machine.links[1].data_test = "fail"; }},
      {"link.p2p_data", "NotInTheFile", kSkipped, "it takes the machine itself", "", [](Patient& p) { p.here = false; for (GpuLink& link : p.machine.links) { link.data_test = "not_run"; } }},
      {"link.iommu", "Translates", kWarning, "may be lost while every call succeeds", "iommu=pt", [](Patient& p) { make_pcie(p.machine); p.machine.host.iommu = "translated"; }},
      {"link.acs", "Redirects", kWarning, "ACS", "setpci", [](Patient& p) { make_pcie(p.machine); p.machine.host.acs_redirect = true; }},
      {"link.acs", "NotReadable", kSkipped, "root only", "", [](Patient& p) { p.machine.host.acs_redirect.reset(); }},
      {"link.topology", "Mixed", kInfo, "27 pairs NV18, 1 pairs SYS", "tutti plan", [](Patient& p) { p.machine.links[5].kind = "SYS"; }},
      {"link.topology", "Virtual", kInfo, "a virtual machine may show other ways", "bench scaling", [](Patient& p) { make_pcie(p.machine); p.machine.host.virtual_machine = true; }},
      {"fabric.state", "NotReady", kError, "GPUs 0-7: the NVSwitch fabric is not ready; CUDA says error 802", "systemctl start nvidia-fabricmanager", [](Patient& p) { for (Gpu& gpu : p.machine.gpus) { gpu.fabric.state = "in_progress"; } }},
      {"fabric.manager", "Missing", kError, "4 NVSwitches, and no Fabric Manager", "580.159.03", [](Patient& p) { p.machine.driver.fabric_manager = false; }},
      {"fabric.health", "Degraded", kWarning, "GPU 2: NVSwitch fabric: degraded_bandwidth", "switch tray", [](Patient& p) { p.machine.gpus[2].fabric.health = "degraded_bandwidth"; }},
      {"fabric.health", "TwoCliques", kWarning, "2 NVLink cliques", "one clique", [](Patient& p) { p.machine.gpus[7].fabric.clique = 1; }},
      {"fabric.imex", "RackWithout", kInfo, "no IMEX channel", "nvidia-imex", [](Patient& p) { p.machine.gpus[0].name = "NVIDIA GB200"; }},

      {"host.memory", "Little", kWarning, "1.0 GiB of memory", "docker run --memory", [](Patient& p) { in_docker(p); p.machine.host.cgroup_memory_bytes = kGiB; }},
      {"host.oom", "Killed", kWarning, "has ended 2 processes", "memory limit of the pod", [](Patient& p) { p.machine.host.kind = "kubernetes"; p.machine.host.oom_kills = 2; }},
      {"host.cpus", "Few", kWarning, "4.0 CPUs for 8 GPUs", "docker run --cpus", [](Patient& p) { in_docker(p); p.machine.host.cpu_quota = 4; }},
      {"host.numa", "FarCpus", kWarning, "GPUs 4-7: no CPU of the nearest NUMA node", "taskset", [](Patient& p) { p.machine.host.cpu_list = "0-95"; }},
      {"host.numa_calls", "Forbidden", kInfo, "forbids the calls", "SYS_NICE", [](Patient& p) { in_docker(p); p.machine.host.numa_calls = false; }},
      {"shm.size", "Small", kInfo, "enough for tutti, which uses none", "docker run --shm-size=1g (compose: shm_size: 1g)", [](Patient& p) { in_docker(p); p.machine.shm.free_bytes = 64 << 20; }},
      {"shm.size", "SmallInPod", kInfo, "NCCL may want 261.0 MiB", "medium: Memory", [](Patient& p) { p.machine.host.kind = "kubernetes"; p.machine.shm.free_bytes = 64 << 20; }},
      {"shm.size", "None", kInfo, "there is no /dev/shm", "shm-size", [](Patient& p) { in_docker(p); p.machine.shm = {.present = false}; }},
      {"shm.stale", "Two", kWarning, "2 left-over files of NCCL in /dev/shm take 18.4 MiB", "rm /dev/shm/nccl-a /dev/shm/nccl-b", [](Patient& p) { p.machine.shm.stale = {{.name = "nccl-a", .bytes = 9637888}, {.name = "nccl-b", .bytes = 9637888}}; }},
      {"shm.writable", "ReadOnly", kInfo, "read-only", "remount,rw", [](Patient& p) { p.machine.shm.writable = false; }},
      {"limit.memlock", "Small", kInfo, "64.0 KiB", "LimitMEMLOCK=infinity", [](Patient& p) { p.machine.limits.memlock_bytes = 65536; }},
      {"limit.files", "Few", kInfo, "1024 open files", "LimitNOFILE", [](Patient& p) { p.machine.limits.nofile = 1024; }},
      {"limit.stack", "Unlimited", kInfo, "not limited", "ulimit -s", [](Patient& p) { p.machine.limits.stack_bytes = -1; }},
      {"limit.stack", "Tiny", kWarning, "limited to 64.0 KiB", "ulimit -s", [](Patient& p) { p.machine.limits.stack_bytes = 65536; }},
      {"limit.processes", "Few", kWarning, "100 processes", "ulimit -u", [](Patient& p) { p.machine.limits.processes = 100; }},

      {"library.cublaslt", "None", kError, "cuBLASLt 13 is not found", "nvidia-cublas", [](Patient& p) { p.machine.libraries.cublaslt.reset(); }},
      {"library.cublaslt", "Old", kError, "but 12.4.5", "nvidia/cuda:13", [](Patient& p) { in_docker(p); p.machine.libraries.cublaslt = "12.4.5"; }},
      {"env.cuda", "Blocking", kWarning, "CUDA_LAUNCH_BLOCKING=1", "unset", [](Patient& p) { p.machine.env["CUDA_LAUNCH_BLOCKING"] = "1"; }},
      {"env.cuda", "Profiler", kInfo, "a profiler", "unset", [](Patient& p) { p.machine.env["CUDA_INJECTION64_PATH"] = "/x.so"; }},
      {"env.nccl", "ShmDisable", kInfo, "take more of /dev/shm, not less", "unset", [](Patient& p) { p.machine.env["NCCL_SHM_DISABLE"] = "1"; }},
      {"network.interface", "Hca", kInfo, "which is an InfiniBand device", "eth0", [](Patient& p) { p.machine.env["NCCL_SOCKET_IFNAME"] = "mlx5_0"; }},
      {"network.infiniband", "Down", kInfo, "mlx5_0 port 1 is DOWN", "ibstat", [](Patient& p) { p.machine.host.infiniband[0].state = "DOWN"; }},
      {"server.port", "Taken", kInfo, "Address already in use", "‹port› 0", [](Patient& p) { p.live.port_error = "Address already in use"; }},
      {"server.port", "OfAFile", kSkipped, "the machine itself", "", [](Patient& p) { p.here = false; }},
      {"model.files", "Missing", kError, "no such model", "", [](Patient& p) { p.model.found = error(StatusCode::kNotFound, "no such model"); p.model.plan.reset(); }},
      {"model.fits", "TooLarge", kError, "does not fit: 120 GB are short", "tutti plan deepseek-r1:awq-int4", [](Patient& p) { p.model.plan->verdict = Verdict::kRefused; p.model.plan->reasons = {{"form", "x"}, {"short", "120 GB are short"}}; p.model.plan->alternatives = {{"quantization", "y", "tutti plan deepseek-r1:awq-int4"}}; }},
      {"model.fits", "Reduced", kInfo, "fits with 4096 tokens", "tutti plan", [](Patient& p) { p.model.plan->verdict = Verdict::kFitsReduced; p.model.plan->context_tokens = 4096; }},
      {"model.fits", "NotStartable", kError, "in a form that this build cannot start", "tutti plan", [](Patient& p) { p.model.plan->runnable = false; }},
      {"model.gpus", "LeftOut", kInfo, "1 of 8 GPUs are left out: no gain", "second server", [](Patient& p) { p.model.plan->gpus[7] = {.used = false, .reason = "no gain"}; }},
      // clang-format on
  };
  return kCases;
}

class Faults : public ::testing::TestWithParam<Case> {};

TEST_P(Faults, AreFound) {
  const Case& fault = GetParam();
  Patient patient;
  fault.harm(patient);
  const Outcome outcome = patient.look(fault.id);
  EXPECT_EQ(std::string(severity_name(outcome.severity)), severity_name(fault.severity));
  EXPECT_THAT(outcome.what, HasSubstr(fault.what));
  EXPECT_THAT(outcome.remedy, HasSubstr(fault.remedy));
  EXPECT_THAT(outcome.what + outcome.remedy, Not(HasSubstr("\n")));
}

INSTANTIATE_TEST_SUITE_P(Doctor, Faults, ::testing::ValuesIn(cases()), [](const auto& fault) {
  std::string name = std::string(fault.param.id) + "_" + fault.param.name;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

TEST(Doctor, IsContentWithASoundMachine) {
  const Patient patient;
  for (const Finding& finding :
       examine({.inventory = patient.machine, .live = &patient.live, .model = &patient.model})) {
    EXPECT_EQ(finding.outcome.severity, Severity::kOk)
        << finding.id << ": " << finding.outcome.what;
    EXPECT_FALSE(finding.outcome.what.empty()) << finding.id;
    EXPECT_GE(finding.seconds, 0);
  }
}

TEST(Doctor, IsContentWithASoundMachineOverPcieInAContainer) {
  Patient patient;
  make_pcie(patient.machine);
  in_docker(patient);
  patient.machine.driver.fabric_manager = false;
  for (const Finding& finding :
       examine({.inventory = patient.machine, .live = &patient.live, .model = &patient.model})) {
    EXPECT_LE(finding.outcome.severity, Severity::kOk)
        << finding.id << ": " << finding.outcome.what;
  }
}

TEST(Doctor, EveryCheckHasAFaultHere) {
  std::set<std::string> tested;
  for (const Case& fault : cases()) {
    if (fault.severity >= Severity::kInfo) {
      tested.insert(fault.id);
    }
  }
  std::set<std::string> ids;
  for (const Check& check : all_checks()) {
    EXPECT_TRUE(ids.insert(check.id).second) << check.id << " twice";
    // It has nothing that could be wrong: tutti does not use NCCL.
    EXPECT_TRUE(tested.contains(check.id) || std::string(check.id) == "library.nccl") << check.id;
  }
}

TEST(Doctor, WithoutGpusItSaysSoAndSkipsWhatIsAboutThem) {
  Inventory machine;
  machine.host = {.kind = "bare", .cpus = 2, .memory_bytes = 8 * kGiB};
  machine.counts.pci = 0;
  machine.driver.nvml_error = "libnvidia-ml.so.1: cannot open shared object file";
  const std::vector<Finding> findings = examine({.inventory = machine});
  EXPECT_LE(worst(findings), Severity::kInfo);
  EXPECT_THAT(findings.front().outcome.what, HasSubstr("models run on the CPU"));
  for (const Finding& finding : findings) {
    if (finding.id.starts_with("link.")) {
      EXPECT_EQ(finding.outcome.severity, Severity::kSkipped) << finding.id;
      EXPECT_FALSE(finding.outcome.what.empty());
    }
  }
}

// A machine of which nothing is known must not break, nor be called sick.
TEST(Doctor, OfAnEmptyFile) {
  const Inventory machine;
  EXPECT_LE(worst(examine({.inventory = machine})), Severity::kInfo);
}

TEST(Doctor, PodmanIsCalledByItsName) {
  Patient patient;
  patient.machine.host.kind = "podman";
  patient.machine.counts.nvml = 7;
  EXPECT_THAT(patient.look("gpu.last_good").remedy, HasSubstr("podman run --gpus all"));
}

}  // namespace
}  // namespace tutti::test
