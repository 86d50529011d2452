// A machine on which every check of the doctor is content: eight H200 behind NVSwitches.
#pragma once
#include <string>

#include "doctor/check.h"

namespace tutti::test {

inline constexpr int64_t kGiB = int64_t{1} << 30;
inline constexpr int64_t kH200 = 150'754'820'096;

inline Gpu sound_gpu(int64_t i) {
  Gpu gpu;
  gpu.index = i;
  gpu.nvml_index = i;
  gpu.uuid = "GPU-0000000" + std::to_string(i);
  gpu.pci = "0000:" + std::to_string(18 + i) + ":00.0";
  gpu.name = "NVIDIA H200";
  gpu.compute_capability = "9.0";
  gpu.sms = 132;
  gpu.memory_total_bytes = kH200;
  gpu.memory_used_bytes = 600 << 20;
  gpu.processes.emplace();
  gpu.mig = false;
  gpu.mig_pending = false;
  gpu.compute_mode = "default";
  gpu.ecc = {.uncorrected = 0, .retired_pending = false};
  gpu.remapped = {.pending = false, .failed = false};
  gpu.recovery_action = "none";
  gpu.clock_reasons = {"idle"};
  gpu.power_limit_watts = 700;
  gpu.power_limit_default_watts = 700;
  gpu.pcie = {.gen = 1, .gen_max = 5, .width = 16, .width_max = 16, .replays = 0};
  gpu.bar1_bytes = 256 * kGiB;
  gpu.numa_node = i / 4;
  gpu.fabric = {
      .state = "completed", .health = "healthy", .cluster = std::string(32, '0'), .clique = 0};
  gpu.persistence = true;
  gpu.nvlink = {.active = 18, .inactive = 0, .errors = 0};
  gpu.read_bytes_per_second = 4.25e12 + 1e9 * static_cast<double>(i);
  gpu.matmul_flops_per_second = 7.6e14;
  return gpu;
}

inline Inventory sound_machine() {
  Inventory m;
  m.tutti_version = "0.1.0";
  m.host.kind = "bare";
  m.host.kernel = "6.8.0";
  m.host.cpus = 192;
  m.host.cpu_list = "0-191";
  m.host.memory_bytes = 2048 * kGiB;
  m.host.memory_available_bytes = 2000 * kGiB;
  m.host.oom_kills = 0;
  m.host.virtual_machine = false;
  m.host.numa_calls = true;
  m.host.iommu = "passthrough";
  m.host.acs_redirect = false;
  m.host.numa = {{.node = 0, .cpus = "0-95"}, {.node = 1, .cpus = "96-191"}};
  m.host.interfaces = {{.name = "eth0", .state = "up"}, {.name = "lo", .state = "unknown"}};
  m.host.infiniband = {{.device = "mlx5_0", .port = 1, .state = "ACTIVE", .rate = "400 Gb/sec"}};
  m.shm = {.present = true, .size_bytes = 1024 * kGiB, .free_bytes = 1024 * kGiB, .writable = true};
  m.limits = {.memlock_bytes = -1, .nofile = 65536, .stack_bytes = 8 << 20, .processes = 1 << 20};
  m.driver.version = "580.159.03";
  m.driver.cuda = "13.0";
  m.driver.module = "open";
  m.driver.nodes = {{.name = "nvidia-uvm"}, {.name = "nvidia0"}, {.name = "nvidiactl"}};
  m.driver.char_links = true;
  m.driver.fabric_manager = true;
  m.driver.nvswitches = 4;
  m.driver.imex_channels = 0;
  m.driver.peermem = true;
  m.driver.confidential = false;
  m.driver.xids.emplace();
  m.libraries = {.nccl = "2.28.9", .cublaslt = "13.1.0", .architectures = "80,90a,100"};
  m.counts = {.pci = 8, .nvml = 8, .cuda = 8, .last_good = 8};
  for (int64_t i = 0; i < 8; ++i) {
    m.gpus.push_back(sound_gpu(i));
    for (int64_t j = 0; j < i; ++j) {
      m.links.push_back({.a = j,
                         .b = i,
                         .kind = "NV18",
                         .p2p = {.read = "ok", .write = "ok", .atomics = "ok"},
                         .data_test = "pass"});
    }
  }
  return m;
}

/// The same without NVLink and NVSwitches.
inline void make_pcie(Inventory& m) {
  m.driver.nvswitches = 0;
  for (Gpu& gpu : m.gpus) {
    gpu.nvlink = {};
    gpu.fabric = {.state = "not_supported"};
  }
  for (GpuLink& link : m.links) {
    link.kind = "NODE";
    link.data_test = "not_run";
  }
}

inline ModelQuestion sound_model() {
  ModelQuestion model{.name = "deepseek-r1"};
  Plan& plan = model.plan.emplace();
  plan.verdict = Verdict::kFits;
  plan.runnable = true;
  plan.context_tokens = 163840;
  for (int64_t i = 0; i < 8; ++i) {
    plan.machine.gpus.push_back({.index = i, .nvml_index = i});
    plan.gpus.push_back({.used = true});
  }
  return model;
}

}  // namespace tutti::test
