// Libraries, variables, network and the model that was named.
#include <algorithm>
#include <array>

#include "doctor/check_words.h"
#include "inventory/system.h"

namespace tutti {

namespace {

Outcome cublaslt(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (const auto version = version_of(m.libraries.cublaslt)) {
    if (version->first == 13) {
      return fine(fmt::format("cuBLASLt {}", *m.libraries.cublaslt));
    }
  }
  return found(
      Severity::kError,
      fmt::format("cuBLASLt 13 is not found{}",
                  m.libraries.cublaslt ? ", but " + *m.libraries.cublaslt : ""),
      remedy_for(m,
                 {.bare = "pip install nvidia-cublas, or NVIDIA's toolkit 13",
                  .docker = "an image with cuBLAS 13: nvidia/cuda:13.0.1-runtime, or pip "
                            "install nvidia-cublas in it",
                  .kubernetes = "an image with cuBLAS 13: nvidia/cuda:13.0.1-runtime, or pip "
                                "install nvidia-cublas in it"}),
      facts({{"cublaslt", json_of(m.libraries.cublaslt)},
             {"libraries", errors_from(m, "libraries")}}));
}

Outcome nccl(const Examined& machine) {
  const std::optional<std::string>& version = machine.inventory.libraries.nccl;
  return fine(version
                  ? fmt::format("NCCL {} is installed; tutti has collectives of its own", *version)
                  : "NCCL is not installed and not needed",
              facts({{"nccl", json_of(version)}}));
}

struct Surprise {
  const char* name;
  const char* value;  // "" any
  const char* what;
};

Outcome env_cuda(const Examined& machine) {
  constexpr std::array kSurprises{
      Surprise{"CUDA_LAUNCH_BLOCKING",
               "1",
               "every launch waits: very slow, and sums between GPUs may hang"},
      Surprise{"CUDA_DEVICE_MAX_CONNECTIONS",
               "1",
               "one queue a GPU: ranks that share a GPU wait for each other"},
      Surprise{"CUDA_DISABLE_PERF_BOOST", "1", "clocks stay low"},
      Surprise{"CUDA_FORCE_PTX_JIT", "1", "kernels are compiled at every start"},
      Surprise{"CUDA_INJECTION64_PATH", "", "a profiler is loaded into every program"},
      Surprise{"CUDA_MPS_PIPE_DIRECTORY", "", "programs go through an MPS server"},
  };
  const Inventory& m = machine.inventory;
  for (const Surprise& surprise : kSurprises) {
    const std::string value = variable(m, surprise.name);
    if (!value.empty() && (surprise.value[0] == '\0' || value == surprise.value)) {
      const bool worse = std::string_view(surprise.name) == "CUDA_LAUNCH_BLOCKING";
      return found(worse ? Severity::kWarning : Severity::kInfo,
                   fmt::format("{}={}: {}", surprise.name, value, surprise.what),
                   fmt::format("unset {}, unless it is wanted", surprise.name),
                   facts({{surprise.name, value}}));
    }
  }
  return fine("no variable of CUDA gets in the way");
}

// For programs beside tutti, which has no NCCL.
Outcome env_nccl(const Examined& machine) {
  constexpr std::array kSurprises{
      Surprise{"NCCL_CUMEM_ENABLE", "0", "NCCL then takes 33 MiB of /dev/shm for each process"},
      Surprise{
          "NCCL_SHM_DISABLE",
          "1",
          "pairs without peer access go through sockets, which take more of /dev/shm, not less"},
      Surprise{"NCCL_P2P_DISABLE", "1", "NCCL goes through host memory: a tenth of NVLink's rate"},
      Surprise{"NCCL_BUFFSIZE", "", "buffers of another size than NCCL's own"},
      Surprise{"NCCL_P2P_LEVEL", "", "NCCL does not choose by itself which pairs use peer access"},
  };
  const Inventory& m = machine.inventory;
  JsonObject evidence;
  std::string first;
  for (const Surprise& surprise : kSurprises) {
    const std::string value = variable(m, surprise.name);
    if (!value.empty() && (surprise.value[0] == '\0' || value == surprise.value)) {
      evidence.set(surprise.name, value);
      first = first.empty() ? fmt::format("{}={}: {}", surprise.name, value, surprise.what) : first;
    }
  }
  if (first.empty()) {
    return fine("no variable of NCCL is set that surprises");
  }
  return found(Severity::kInfo,
               first + ". It means nothing to tutti",
               "unset it, unless it is wanted for other programs",
               std::move(evidence));
}

Outcome infiniband(const Examined& machine) {
  const Inventory& m = machine.inventory;
  std::string down;
  JsonArray ports;
  for (const InfinibandPort& port : m.host.infiniband) {
    ports.push_back(Json::object({{"device", port.device},
                                  {"port", port.port},
                                  {"state", json_of(port.state)},
                                  {"rate", json_of(port.rate)}}));
    if (port.state && *port.state != "ACTIVE" && down.empty()) {
      down = fmt::format("{} port {} is {}", port.device, port.port, *port.state);
    }
  }
  JsonObject evidence =
      facts({{"ports", Json(std::move(ports))}, {"peermem", json_of(m.driver.peermem)}});
  if (m.host.infiniband.empty()) {
    return fine("there is no InfiniBand");
  }
  if (!down.empty()) {
    return found(Severity::kInfo,
                 down + "; tutti uses one host and does not need it",
                 "look at cable, switch and subnet manager: ibstat",
                 std::move(evidence));
  }
  return fine(fmt::format("{} ports are up", m.host.infiniband.size()), std::move(evidence));
}

Outcome interface(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const std::string wanted = variable(m, "NCCL_SOCKET_IFNAME");
  if (wanted.empty()) {
    return fine("NCCL chooses its interface by itself; tutti needs none on one host");
  }
  const std::string names =
      wanted.starts_with('=') || wanted.starts_with('^') ? wanted.substr(1) : wanted;
  for (const std::string_view name : split(names, ',')) {
    const bool there = std::any_of(
        m.host.interfaces.begin(), m.host.interfaces.end(), [&](const NetworkInterface& i) {
          return i.name.starts_with(name);
        });
    if (!there && !wanted.starts_with('^')) {
      return found(Severity::kInfo,
                   fmt::format("NCCL_SOCKET_IFNAME={}: there is no interface {}{}",
                               wanted,
                               name,
                               name.starts_with("mlx") ? ", which is an InfiniBand device" : ""),
                   "name an interface such as eth0, or unset it; tutti does not read it",
                   facts({{"nccl_socket_ifname", wanted}}));
    }
  }
  return fine(fmt::format("NCCL_SOCKET_IFNAME={} exists", wanted));
}

Outcome port(const Examined& machine) {
  if (machine.live == nullptr || !machine.live->port_error) {
    return not_known("it takes the machine itself");
  }
  if (machine.live->port_error->empty()) {
    return fine("127.0.0.1:9997 is free");
  }
  return found(Severity::kInfo,
               "127.0.0.1:9997: " + *machine.live->port_error,
               "if that is no server of yours: ‹port› 0 takes a free one",
               facts({{"error", *machine.live->port_error}}));
}

Outcome model_files(const Examined& machine) {
  const ModelQuestion& model = *machine.model;
  if (model.found.ok()) {
    return fine(fmt::format("{} is there", model.name));
  }
  return found(Severity::kError, model.found.message(), "", facts({{"model", model.name}}));
}

Outcome model_fits(const Examined& machine) {
  const ModelQuestion& model = *machine.model;
  if (!model.plan) {
    return not_known("there is no plan: see model.files");
  }
  const Plan& plan = *model.plan;
  JsonObject evidence = facts({{"model", model.name},
                               {"tp", plan.parallel.tp},
                               {"context_tokens", plan.context_tokens},
                               {"short_by_bytes", plan.short_by_bytes}});
  std::string why;
  for (const PlanReason& reason : plan.reasons) {
    why = why.empty() || reason.code == "short" ? reason.text : why;
  }
  const std::string instead = plan.alternatives.empty() ? "tutti plan MODEL says what would do"
                              : plan.alternatives.front().command.empty()
                                  ? plan.alternatives.front().text
                                  : plan.alternatives.front().command;
  switch (plan.verdict) {
    case Verdict::kRefused:
      return found(Severity::kError,
                   fmt::format("{} does not fit: {}", model.name, why),
                   instead,
                   std::move(evidence));
    case Verdict::kFitsReduced:
      return found(
          Severity::kInfo,
          fmt::format("{} fits with {} tokens of context", model.name, plan.context_tokens),
          instead,
          std::move(evidence));
    case Verdict::kFits:
      break;
  }
  if (!plan.runnable) {
    return found(Severity::kError,
                 fmt::format("{} would fit, in a form that this build cannot start", model.name),
                 instead,
                 std::move(evidence));
  }
  return fine(fmt::format("{} fits, {} tokens of context", model.name, plan.context_tokens),
              std::move(evidence));
}

// All loads succeed and GPUs stay idle: what other servers do silently.
Outcome model_gpus(const Examined& machine) {
  const ModelQuestion& model = *machine.model;
  if (!model.plan || model.plan->verdict == Verdict::kRefused) {
    return not_known("there is no plan: see model.fits");
  }
  const Plan& plan = *model.plan;
  JsonArray left;
  std::string why;
  for (size_t i = 0; i < plan.gpus.size() && i < plan.machine.gpus.size(); ++i) {
    if (!plan.gpus[i].used) {
      left.push_back(json_of(plan.machine.gpus[i].index));
      why = why.empty() ? plan.gpus[i].reason : why;
    }
  }
  if (left.empty()) {
    return fine(plan.gpus.empty() ? "it runs on the CPU" : "every GPU is used");
  }
  const size_t count = left.size();
  return found(Severity::kInfo,
               fmt::format("{} of {} GPUs are left out: {}", count, plan.gpus.size(), why),
               "tutti plan MODEL says why of each; a second server can use them",
               facts({{"left_out", Json(std::move(left))}}));
}

constexpr auto kChecks = std::to_array<Check>({
    // clang-format off
    {"library.cublaslt", Needs::kGpus, "cuBLASLt 13 is installed", "dlopen of libcublasLt.so.13", cublaslt},
    {"library.nccl", Needs::kGpus, "NCCL, which is not needed", "dlopen of libnccl.so.2", nccl},
    {"env.cuda", Needs::kGpus, "no variable of CUDA gets in the way", "CUDA_LAUNCH_BLOCKING and others", env_cuda},
    {"env.nccl", Needs::kGpus, "no variable of NCCL surprises", "NCCL_CUMEM_ENABLE and others", env_nccl},
    {"network.interface", Needs::kGpus, "NCCL_SOCKET_IFNAME exists", "/sys/class/net", interface},
    {"network.infiniband", Needs::kGpus, "InfiniBand ports are up", "/sys/class/infiniband", infiniband},
    {"server.port", Needs::kNothing, "the usual port is free", "bind", port},
    {"model.files", Needs::kModel, "the model is there and whole", "its directory", model_files},
    {"model.fits", Needs::kModel, "the model fits", "tutti plan", model_fits},
    {"model.gpus", Needs::kModel, "every GPU is used", "tutti plan", model_gpus},
    // clang-format on
});

}  // namespace

std::span<const Check> software_checks() {
  return kChecks;
}

}  // namespace tutti
