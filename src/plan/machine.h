// The GPUs of an inventory as plans see them: which a model may use, how much is free there, and
// what was assumed where the inventory is silent.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "inventory/inventory.h"
#include "plan/gpu_models.h"

namespace tutti {

/// A GPU, or the part of one that CUDA shows instead.
struct PlanGpu {
  std::optional<int64_t> index;       ///< CUDA's
  std::optional<int64_t> nvml_index;  ///< of the whole GPU
  std::string uuid;
  std::string name;
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;
  GpuRates rates;
  const GpuModel* model = nullptr;  ///< nullptr: not in the table
  std::string holders;              ///< programs that hold memory: "python3 64.2 GB"; may be empty
  std::string barred;               ///< code of why no model may use it; empty: one may
  std::string why;                  ///< the same for people
};

/// How data go between two GPUs.
enum class LinkKind { kNvlink, kPcie, kHost };

/// What a sum among ranks costs.
struct LinkRates {
  double first = 0;     ///< seconds of a small sum, beside what ranks add
  double per_rank = 0;  ///< seconds
  double bytes_per_second = 0;
};

LinkRates rates_of(LinkKind link);

/// One small sum, measured on this machine.
struct MeasuredSum {
  int ranks = 0;  ///< 0: not measured
  double seconds = 0;
};

struct Machine {
  std::string name;  ///< "8 x NVIDIA H200"
  int nodes = 1;
  std::vector<PlanGpu> gpus;  ///< of one host
  std::vector<GpuLink> links;
  std::optional<int64_t> host_bytes;  ///< memory of the host that may be used
  int64_t cpus = 1;
  bool unified = false;                  ///< the GPU's memory is the host's
  std::optional<int64_t> missing;        ///< GPUs that sysfs or the last good start knows, not NVML
  MeasuredSum measured_sum;              ///< among GPUs of this host
  std::vector<std::string> assumptions;  ///< sentences

  /// Positions in gpus that may be used.
  std::vector<size_t> usable() const;
  /// The positions `of` gpus with the emptiest first and equal ones in their order.
  std::vector<size_t> emptiest_first(std::vector<size_t> of) const;
  /// The slowest way between any two of `gpus`.
  LinkKind link(const std::vector<size_t>& gpus) const;
  /// What sums among them cost.
  LinkRates link_rates(const std::vector<size_t>& gpus) const;
};

Machine machine_of(const Inventory& inventory, int nodes, const std::string& name);

}  // namespace tutti
