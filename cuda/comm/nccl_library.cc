#include "cuda/comm/nccl_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "cuda/shared_library.h"

namespace tutti::cuda {

namespace {

constexpr const char* kLibrary = "libnccl.so.2";

}  // namespace

std::vector<std::string> nccl_directories() {
  return {"/usr/lib/x86_64-linux-gnu",
          "/usr/local/cuda/lib64",
          "/usr/local/lib/python3.12/dist-packages/nvidia/nccl/lib"};
}

Result<std::shared_ptr<const NcclLibrary>> NcclLibrary::open(
    const std::vector<std::string>& directories) {
  TUTTI_TRY(const SharedLibrary opened,
            open_shared_library(kLibrary,
                                directories,
                                "NCCL",
                                "install it (Debian and Ubuntu: package libnccl2; pip: "
                                "nvidia-nccl-cu13) or add its directory to LD_LIBRARY_PATH"));
  std::shared_ptr<NcclLibrary> library(new NcclLibrary());
#define TUTTI_LOAD(name)                                                                       \
  library->name = reinterpret_cast<decltype(library->name)>(dlsym(opened.handle, #name));      \
  if (library->name == nullptr) {                                                              \
    return error(StatusCode::kUnavailable, "{} has no {}; is it NCCL 2?", opened.path, #name); \
  }
  TUTTI_NCCL_FUNCTIONS(TUTTI_LOAD)
#undef TUTTI_LOAD
  return std::shared_ptr<const NcclLibrary>(std::move(library));
}

std::string NcclLibrary::version() const {
  int version = 0;
  ncclGetVersion(&version);
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

Status NcclLibrary::check(ncclResult_t code, const char* what) const {
  if (code == ncclSuccess) {
    return ok_status();
  }
  const char* last = ncclGetLastError(nullptr);
  const std::string detail = last != nullptr && *last != '\0' ? fmt::format(" ({})", last) : "";
  return error(StatusCode::kDevice, "{}: NCCL says {}{}", what, ncclGetErrorString(code), detail);
}

}  // namespace tutti::cuda
