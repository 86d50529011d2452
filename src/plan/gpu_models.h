// What GPUs of a model have and deliver: NVIDIA's data sheets, and measurements where there are
// some (docs/planning.md).
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "inventory/inventory.h"

namespace tutti {

struct GpuModel {
  std::string_view name;     ///< as --hardware takes it: "H200"
  std::string_view product;  ///< as NVML says it, without "NVIDIA ": "H200", "H100 80GB HBM3"
  int64_t memory_mib;        ///< as NVML counts it; unified memory: of the machine
  double sheet_bytes_per_second;
  double sheet_bf16_flops;  ///< dense
  double sheet_fp8_flops;   ///< dense; 0: no such unit
  int compute_capability;   ///< 90 for 9.0
  int sms;
  bool nvlink;           ///< in the servers that it is sold in, all to all
  bool unified = false;  ///< its memory is the host's
};

std::span<const GpuModel> gpu_models();

/// By what --hardware takes, in any case; nullptr: none.
const GpuModel* find_gpu_model(std::string_view name);

/// By the name that NVML and CUDA tell, and its memory where several share one; nullptr: none.
const GpuModel* match_gpu_model(std::string_view product, Bytes memory_bytes);

/// What one GPU delivers.
struct GpuRates {
  double read = 0;        ///< bytes per second to readers
  double bf16_flops = 0;  ///< per second, of large matrix products
  double fp8_flops = 0;
  /// What a layer of a decode step costs beside its bytes, at one row and for each row more:
  /// seconds. Ramps of products, norms, sampling; measured on one H200 unless calibrated
  /// (bench/results/2026-11-25-cuda-2.md, -30-two-gpus.md).
  double layer_seconds = 20.5e-6;
  double layer_row_seconds = 0.34e-6;
  bool measured = false;  ///< with this build, on this model; else a share of the data sheet
};

/// nullptr: a GPU that nobody knows, taken as an A10.
GpuRates rates_of(const GpuModel* model);

/// An inventory of what --hardware names: "8xH200", "2x8xH100-80GB" (hosts x GPUs),
/// "4xA100-40GB+L4".
struct NamedHardware {
  Inventory inventory;  ///< of one host; what only a machine can tell is null
  int nodes = 1;
};

Result<NamedHardware> parse_hardware(const std::string& text);

}  // namespace tutti
