#include "cuda/gpu_group.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"

namespace tutti::cuda {

namespace {

constexpr int kOldestCapability = 80;  // Ampere: the first with bf16 matrix units

std::string capability(const CudaDeviceInfo& gpu) {
  return fmt::format("cuda:{} ({}) has compute capability {}.{}, tutti needs 8.0 (Ampere) or later",
                     gpu.index,
                     gpu.name,
                     gpu.compute_capability / 10,
                     gpu.compute_capability % 10);
}

std::vector<VisibleGpu> as_visible(const std::vector<CudaDeviceInfo>& gpus) {
  std::vector<VisibleGpu> out;
  for (const CudaDeviceInfo& gpu : gpus) {
    out.push_back({.index = gpu.index, .name = gpu.name, .uuid = gpu.uuid});
  }
  return out;
}

std::vector<int> indices(const std::vector<CudaDeviceInfo>& gpus) {
  std::vector<int> out;
  for (const CudaDeviceInfo& gpu : gpus) {
    out.push_back(gpu.index);
  }
  return out;
}

// Kernels run on it, or why not and what to do.
Status try_gpu(const CudaDeviceInfo& gpu) {
  const Status status = check_kernels_run(gpu);
  return status.ok() ? status
                     : error(status.code(),
                             "cuda:{}: {}; ‹gpus› can leave it out",
                             gpu.index,
                             status.message());
}

}  // namespace

Result<GpuGroup> GpuGroup::open(GpuGroupOptions options) {
  GpuGroup group(std::move(options));
  const GpuGroupOptions& o = group.options_;
  TUTTI_TRY(const std::vector<CudaDeviceInfo> present, probe_cuda_devices(o.visible_devices));
  TUTTI_TRY(const std::vector<size_t> picked,
            pick_gpus(o.gpus, as_visible(present), o.visible_devices));
  for (const size_t i : picked) {
    const CudaDeviceInfo& gpu = present[i];
    if (gpu.compute_capability >= kOldestCapability) {
      group.gpus_.push_back(gpu);
    } else if (o.gpus.automatic()) {
      group.unfit_.push_back(capability(gpu));
    } else {
      return error(StatusCode::kUnavailable, "{}", capability(gpu));
    }
  }
  if (group.gpus_.empty()) {
    return error(StatusCode::kUnavailable, "{}", fmt::join(group.unfit_, "; "));
  }
  TUTTI_RETURN_IF_ERROR(try_gpu(group.gpus_.front()));  // it is used whatever the model
  return group;
}

Result<RankChoice> GpuGroup::choose_ranks(int tp, const LegalRanks& legal) {
  TUTTI_TRY(RankChoice choice,
            tutti::choose_ranks({.tp = tp,
                                 .gpus = narrow<int>(gpus_.size()),
                                 .gpus_typed = options_.gpus.text(),
                                 .ranks_per_gpu = options_.ranks_per_gpu},
                                legal));
  const auto end_of_used = gpus_.begin() + choice.gpus;
  std::vector<std::string> left_out;
  if (end_of_used != gpus_.end()) {
    left_out.push_back(fmt::format(
        "{} left out: {}", gpu_list(indices({end_of_used, gpus_.end()})), choice.left_out));
  }
  for (const std::string& why : unfit_) {
    left_out.push_back("left out: " + why);
  }
  choice.left_out = fmt::format("{}", fmt::join(left_out, "; "));
  TUTTI_TRY(const std::vector<CudaDeviceInfo> gpus, used(choice.ranks));
  for (const CudaDeviceInfo& gpu : gpus) {
    TUTTI_RETURN_IF_ERROR(try_gpu(gpu));
  }
  peers_usable(choice.ranks);  // now, while no model's memory is in use
  return choice;
}

Result<std::vector<CudaDeviceInfo>> GpuGroup::used(int ranks) const {
  const int gpus = ranks / options_.ranks_per_gpu;
  if (ranks < 1 || ranks % options_.ranks_per_gpu != 0 || gpus > narrow<int>(gpus_.size())) {
    return invalid("‹tp› {}: wanted GPUs x ‹ranks_per_gpu›, which is at most {} x {}",
                   ranks,
                   gpus_.size(),
                   options_.ranks_per_gpu);
  }
  return std::vector<CudaDeviceInfo>(gpus_.begin(), gpus_.begin() + gpus);
}

Result<std::vector<CudaDeviceInfo>> GpuGroup::placement(int ranks) const {
  TUTTI_TRY(const std::vector<CudaDeviceInfo> gpus, used(ranks));
  std::vector<CudaDeviceInfo> out;
  for (int rank = 0; rank < ranks; ++rank) {
    out.push_back(gpus[usize(rank / options_.ranks_per_gpu)]);
  }
  return out;
}

bool GpuGroup::peers_usable(int ranks) {
  const Result<std::vector<CudaDeviceInfo>> gpus = used(ranks);
  if (!gpus.ok() || ranks == 1) {
    return gpus.ok();
  }
  const int count = narrow<int>(gpus->size());
  const auto known = peers_.find(count);
  if (known != peers_.end()) {
    return known->second;
  }
  const bool usable = options_.peers_usable && options_.peers_usable(indices(*gpus));
  peers_.emplace(count, usable);
  return usable;
}

std::string GpuGroup::models() const {
  std::vector<std::string> kinds;
  for (const CudaDeviceInfo& gpu : gpus_) {
    const std::string kind = fmt::format("{} ({} multiprocessors)", gpu.name, gpu.multiprocessors);
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
      kinds.push_back(kind);
    }
  }
  return fmt::format("{}", fmt::join(kinds, ", "));
}

std::string GpuGroup::describe(const RankChoice& choice) const {
  return describe_gpus(as_visible({gpus_.begin(), gpus_.begin() + choice.gpus}));
}

}  // namespace tutti::cuda
