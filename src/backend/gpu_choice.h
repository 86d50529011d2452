// Which of the GPUs that CUDA shows are used, as --gpus names them. Knows nothing of CUDA.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace tutti {

/// A GPU that CUDA shows, after CUDA_VISIBLE_DEVICES.
struct VisibleGpu {
  int index = 0;     ///< CUDA's
  std::string name;  ///< "NVIDIA H200"
  std::string uuid;  ///< "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", or MIG-...
};

/// What --gpus says. All members as they are: as many of the visible ones as the model can use.
struct GpuChoice {
  bool all = false;                ///< every visible one, or a refusal
  int count = 0;                   ///< or this many, from the first on
  std::vector<std::string> names;  ///< or these: indices ("2") and UUIDs ("GPU-8932")

  /// Nobody named a number of GPUs, so that some may be left out.
  bool automatic() const { return !all && count == 0 && names.empty(); }

  /// As it is typed: "auto", "all", "2" or "0,GPU-8932". A list of one index ends with a comma.
  std::string text() const;
};

/// "auto", "all", a number of GPUs ("2"), or a list of indices and UUIDs ("0,2,GPU-8932f937"; a
/// single index with a comma: "2,").
Result<GpuChoice> parse_gpu_choice(const std::string& text);

/// Positions in `visible` of the chosen ones, in the order of the list. kNotFound names those that
/// are visible; kInvalidArgument: a GPU named twice, or a UUID that several begin with.
/// `mask`: the value of CUDA_VISIBLE_DEVICES.
Result<std::vector<size_t>> pick_gpus(const GpuChoice& choice,
                                      const std::vector<VisibleGpu>& visible,
                                      const std::optional<std::string>& mask);

/// Why no GPU is visible although the driver has some: the mask names none of them.
std::string mask_names_none(const std::string& mask);

/// "cuda:0-3,6"
std::string gpu_list(const std::vector<int>& indices);

/// "2 x NVIDIA H200 (cuda:0,2) + NVIDIA L40S (cuda:1)": equal ones together, in the given order.
std::string describe_gpus(const std::vector<VisibleGpu>& gpus);

}  // namespace tutti
