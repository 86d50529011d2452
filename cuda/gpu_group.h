// The GPUs of a backend: which there are, which are used by how many ranks, which are left out.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backend/gpu_choice.h"
#include "backend/rank_choice.h"
#include "cuda/device_probe.h"

namespace tutti::cuda {

struct GpuGroupOptions {
  GpuChoice gpus;
  int ranks_per_gpu = 1;
  std::optional<std::string> visible_devices;  ///< CUDA_VISIBLE_DEVICES, for messages
  /// Whether ranks on these GPUs may use each other's memory; empty: they may not. Slow.
  std::function<bool(const std::vector<int>& gpus)> peers_usable;
};

class GpuGroup {
 public:
  /// kNotFound and kInvalidArgument are about `gpus`; kUnavailable names what is missing or broken.
  /// Where nobody named the GPUs, those that are too old are left out.
  static Result<GpuGroup> open(GpuGroupOptions options);

  /// See Backend::choose_ranks. GPUs that will be used are tried; those that will not are left
  /// alone. Several are tested for access to each other's memory.
  Result<RankChoice> choose_ranks(int tp, const LegalRanks& legal);

  /// The GPU of each rank: of as many as the ranks fill. kInvalidArgument if they do not fill GPUs,
  /// or more than there are.
  Result<std::vector<CudaDeviceInfo>> placement(int ranks) const;

  /// The GPUs of placement(ranks), each once. kInvalidArgument as there.
  Result<std::vector<CudaDeviceInfo>> used(int ranks) const;

  /// Whether the GPUs of placement(ranks) may use each other's memory: all of them or none. The
  /// first call for a set of GPUs takes seconds. One rank may.
  bool peers_usable(int ranks);

  /// "4 x NVIDIA H200 (cuda:0-3)"
  std::string describe(const RankChoice& choice) const;

  /// "NVIDIA H200 (132 multiprocessors)": every kind once.
  std::string models() const;

  int ranks_per_gpu() const { return options_.ranks_per_gpu; }

 private:
  explicit GpuGroup(GpuGroupOptions options) : options_(std::move(options)) {}

  GpuGroupOptions options_;
  std::vector<CudaDeviceInfo> gpus_;  // in the order of ranks
  std::vector<std::string> unfit_;    // visible, but never used, and why
  std::map<int, bool> peers_;         // verdicts by number of GPUs
};

}  // namespace tutti::cuda
