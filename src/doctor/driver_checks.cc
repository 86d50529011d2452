// Is there a driver, does it fit the program, and do its parts fit each other?
#include <array>

#include "base/known_failures.h"
#include "doctor/check_words.h"

namespace tutti {

namespace {

constexpr int kNeededCuda = 13;  // of the toolkit that the plugin is built with: needs driver 580

bool on_the_bus(const Inventory& m) {
  return m.counts.pci.value_or(0) > 0;
}

Outcome nvml(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (!m.driver.nvml_error) {
    return fine("NVML answers", facts({{"driver", json_of(m.driver.version)}}));
  }
  const JsonObject evidence = facts({{"nvml_error", *m.driver.nvml_error},
                                     {"pci", json_of(m.counts.pci)},
                                     {"module", json_of(m.driver.module)}});
  if (!on_the_bus(m)) {
    return fine("no NVIDIA GPU, and no driver of NVIDIA's", evidence);
  }
  if (const KnownFailure* known = known_failure(*m.driver.nvml_error)) {
    return found(Severity::kError,
                 fmt::format("{}: {}", *m.driver.nvml_error, known->cause),
                 std::string(known->remedy),
                 evidence);
  }
  return found(
      Severity::kError,
      fmt::format("the driver's management library tells nothing: {}", *m.driver.nvml_error),
      remedy_for(
          m,
          {.bare = "install NVIDIA's driver 580 or later, then restart",
           .docker = "start the container with NVIDIA's container toolkit: docker run --gpus "
                     "all (compose: gpus: all)",
           .kubernetes = "ask for nvidia.com/gpu in the pod's limits; the node needs the driver "
                         "and NVIDIA's device plugin",
           .wsl = "install NVIDIA's driver in Windows, none in WSL"}),
      evidence);
}

Outcome version(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const auto cuda = version_of(m.driver.cuda);
  if (!cuda) {
    return not_known("the driver does not tell which CUDA it serves");
  }
  const JsonObject evidence =
      facts({{"driver", json_of(m.driver.version)}, {"cuda", json_of(m.driver.cuda)}});
  if (cuda->first < kNeededCuda) {
    return found(
        Severity::kError,
        fmt::format("driver {} serves CUDA {} at most; this program is built for CUDA {}",
                    m.driver.version.value_or("of unknown version"),
                    *m.driver.cuda,
                    kNeededCuda),
        remedy_for(
            m,
            {.bare = "install driver 580 or later",
             .docker = "install driver 580 or later on the host; a container uses the host's",
             .kubernetes = "the node needs driver 580 or later; a pod uses the node's",
             .wsl = "install driver 580 or later in Windows"}),
        evidence);
  }
  return fine(fmt::format("driver {} serves CUDA {}",
                          m.driver.version.value_or("of unknown version"),
                          *m.driver.cuda),
              evidence);
}

Outcome cuda(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (m.counts.cuda) {
    return fine("CUDA starts");
  }
  const std::string why = errors_from(m, "cuda");
  const JsonObject evidence = facts({{"cuda", why}});
  if (m.gpus.empty() && !on_the_bus(m)) {
    return fine("no NVIDIA GPU to start CUDA on", evidence);
  }
  const KnownFailure* known = known_failure(why);
  return found(
      Severity::kError,
      known != nullptr ? fmt::format("{}: {}", why, known->cause) : "CUDA does not start: " + why,
      known != nullptr ? std::string(known->remedy)
                       : "driver.nvml, driver.nodes and driver.version say what is missing",
      evidence);
}

Outcome compat(const Examined& machine) {
  const DriverFacts& driver = machine.inventory.driver;
  if (!driver.compat) {
    return fine("CUDA's library is the driver's own");
  }
  return found(Severity::kWarning,
               fmt::format("{} is found before the driver's own libcuda: on GeForce, and with a "
                           "driver that is newer, CUDA then fails with error 803 or 804",
                           *driver.compat),
               "take that folder out of LD_LIBRARY_PATH",
               facts({{"compat", *driver.compat}, {"driver", json_of(driver.version)}}));
}

Outcome nodes(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (m.host.kind == "wsl") {
    return fine("WSL has no device files of NVIDIA's");
  }
  JsonArray listed;
  std::string closed;
  bool uvm = false;
  bool control = false;
  for (const DeviceNode& node : m.driver.nodes) {
    listed.push_back(Json::object({{"name", node.name}, {"error", json_of(node.error)}}));
    uvm = uvm || node.name == "nvidia-uvm";
    control = control || node.name == "nvidiactl";
    if (node.error && closed.empty()) {
      closed = fmt::format("/dev/{}: {}", node.name, *node.error);
    }
  }
  const JsonObject evidence = facts({{"nodes", Json(std::move(listed))}});
  if (!closed.empty()) {
    return found(
        Severity::kError,
        closed,
        remedy_for(
            m,
            {.bare = "give this user access: its group needs read and write on /dev/nvidia*",
             .docker = "recreate the container: systemd took its access away (as after "
                       "daemon-reload); use "
                       "CDI (docker run --device nvidia.com/gpu=all), and nvidia-ctk system "
                       "create-dev-char-symlinks on the host",
             .kubernetes = "delete the pod, so that it is made anew: the kubelet took its access "
                           "away; static CPU management wants a device plugin that uses CDI"}),
        evidence);
  }
  if (!uvm || !control) {
    return found(
        Severity::kError,
        fmt::format("/dev/{} is missing", control ? "nvidia-uvm" : "nvidiactl"),
        remedy_for(m,
                   {.bare = "modprobe nvidia-uvm, and nvidia-modprobe -u -c 0",
                    .docker = "docker run --gpus all makes them (compose: gpus: all); on the host: "
                              "nvidia-modprobe -u -c 0",
                    .kubernetes = "ask for nvidia.com/gpu in the pod's limits; on the node: "
                                  "nvidia-modprobe -u -c 0"}),
        evidence);
  }
  return fine("the driver's device files open", evidence);
}

// Without these links systemd forgets, at daemon-reload, that a container may use the GPUs.
Outcome char_links(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (m.host.kind == "kubernetes" || m.host.kind == "wsl" || !m.driver.char_links) {
    return not_known("not to be seen from here");
  }
  if (*m.driver.char_links || in_container(m)) {
    return fine("nothing speaks against restarts of containers",
                facts({{"char_links", *m.driver.char_links}}));
  }
  return found(Severity::kInfo,
               "/dev/char has no links to the GPUs: containers may lose them at systemctl "
               "daemon-reload (\"Failed to initialize NVML: Unknown Error\")",
               "nvidia-ctk system create-dev-char-symlinks, if containers use GPUs here",
               facts({{"char_links", false}}));
}

Outcome module(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (!m.driver.module) {
    return not_known("the kernel does not tell which module it has");
  }
  const JsonObject evidence = facts({{"module", *m.driver.module}});
  const GpuSet blackwell = gpus_with(m, [](const Gpu& gpu) {
    return version_of(gpu.compute_capability).value_or(std::pair(0, 0)).first >= 10;
  });
  if (*m.driver.module == "proprietary" && !blackwell.empty()) {
    return found(Severity::kError,
                 fmt::format("{} works with the open kernel modules only", blackwell.text()),
                 remedy_for(m,
                            {.bare = "install the driver's open kernel modules (nvidia-open)",
                             .docker = "on the host: install the open kernel modules (nvidia-open)",
                             .kubernetes = "on the node: install the open kernel modules "
                                           "(nvidia-open)"}),
                 evidence);
  }
  return fine(fmt::format("kernel module: {}", *m.driver.module), evidence);
}

// ncclCuMemHostEnable ends the process on these drivers where GPUs have no peer access. Ours does
// not use NCCL; other programs on the machine do.
Outcome known_bugs(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const auto driver = version_of(m.driver.version);
  if (!driver) {
    return not_known("the driver does not tell its version");
  }
  bool no_access = false;
  for (const GpuLink& link : m.links) {
    no_access = no_access || link.p2p.read.value_or("ok") != "ok";
  }
  const JsonObject evidence =
      facts({{"driver", *m.driver.version}, {"pairs_without_p2p", no_access}});
  if (driver->first >= 560 && driver->first < 580 && no_access) {
    return found(Severity::kInfo,
                 "with this driver NCCL may end its process at the start (ncclCuMemHostEnable)",
                 "set NCCL_CUMEM_HOST_ENABLE=0 for programs that use NCCL; tutti does not",
                 evidence);
  }
  return fine("no bug is known that would meet this machine", evidence);
}

constexpr auto kChecks = std::to_array<Check>({
    // clang-format off
    {"driver.nvml", Needs::kNothing, "the driver's management library answers", "nvmlInit", nvml},
    {"driver.version", Needs::kGpus, "the driver serves the CUDA that this program is built for", "nvmlSystemGetCudaDriverVersion", version},
    {"driver.cuda", Needs::kNothing, "CUDA starts", "cuInit, cuDeviceGetCount in a child", cuda},
    {"driver.compat", Needs::kGpus, "no older libcuda is found first", "LD_LIBRARY_PATH", compat},
    {"driver.nodes", Needs::kGpus, "device files are there and open", "/dev/nvidia0, nvidiactl, nvidia-uvm", nodes},
    {"driver.char_links", Needs::kGpus, "containers keep their GPUs", "/dev/char/195:*", char_links},
    {"driver.module", Needs::kGpus, "the kernel module fits the GPUs", "/proc/driver/nvidia/version", module},
    {"driver.known_bugs", Needs::kGpus, "no bug of this driver is known", "driver version, peer access", known_bugs},
    // clang-format on
});

}  // namespace

std::span<const Check> driver_checks() {
  return kChecks;
}

}  // namespace tutti
