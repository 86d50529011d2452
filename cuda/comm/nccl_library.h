// NCCL, opened at run time by its soname: nothing of it is linked, and who does not ask for it need
// not have it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include <nccl.h>

#include "base/status.h"

namespace tutti::cuda {

/// The functions of one opened library.
class NcclLibrary {
 public:
#define TUTTI_NCCL_FUNCTIONS(X) \
  X(ncclGetVersion)             \
  X(ncclGetErrorString)         \
  X(ncclGetLastError)           \
  X(ncclGetUniqueId)            \
  X(ncclCommInitRank)           \
  X(ncclCommAbort)              \
  X(ncclCommDestroy)            \
  X(ncclGroupStart)             \
  X(ncclGroupEnd)               \
  X(ncclAllReduce)
#define TUTTI_DECLARE(name) decltype(&::name) name = nullptr;
  TUTTI_NCCL_FUNCTIONS(TUTTI_DECLARE)
#undef TUTTI_DECLARE

  /// By the search path of the loader, then in `directories`. kUnavailable lists what was tried and
  /// says what to install.
  static Result<std::shared_ptr<const NcclLibrary>> open(
      const std::vector<std::string>& directories);

  /// "2.28.9"
  std::string version() const;

  /// kDevice: `what`, NCCL's text for the code and what it last complained of.
  Status check(ncclResult_t code, const char* what) const;

 private:
  NcclLibrary() = default;
};

/// Where NCCL is installed by Debian's and NVIDIA's packages and by pip beside torch.
std::vector<std::string> nccl_directories();

}  // namespace tutti::cuda
