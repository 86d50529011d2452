#include "inventory/libraries.h"

#include <dlfcn.h>

#include "base/file.h"
#include "inventory/nvml_source.h"

namespace tutti {

namespace {

// The name alone, for the loader's path, then in directories that it does not look into.
std::vector<std::string> places(const std::string& name,
                                const std::vector<std::string>& directories) {
  std::vector<std::string> out{name};
  for (const std::string& directory : directories) {
    out.push_back(join_path(directory, name));
  }
  return out;
}

// Calls `version` in the first library that loads. Never unloaded: such libraries may have started
// threads.
template <class Version>
std::optional<std::string> first_version(const std::vector<std::string>& names,
                                         const char* symbol,
                                         Inventory& inventory,
                                         const Version& version) {
  for (const std::string& name : names) {
    void* library = dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
    if (library == nullptr) {
      const char* why = dlerror();  // NOLINT(concurrency-mt-unsafe): glibc's is of the thread
      if (name.front() == '/' && file_exists(name)) {
        inventory.add_error("libraries", why);
      }
      continue;
    }
    void* function = dlsym(library, symbol);
    if (function == nullptr) {
      inventory.add_error("libraries", fmt::format("{} has no {}", name, symbol));
      continue;
    }
    return version(function);
  }
  return std::nullopt;
}

// Codes since 2.9 are 10000 major + 100 minor + patch, before 1000 major + 100 minor + patch.
std::optional<std::string> nccl_version(void* function) {
  int code = 0;
  if (reinterpret_cast<int (*)(int*)>(function)(&code) != 0) {
    return std::nullopt;
  }
  const int unit = code < 10000 ? 1000 : 10000;
  return fmt::format("{}.{}.{}", code / unit, code % unit / 100, code % 100);
}

std::optional<std::string> cublaslt_version(void* function) {
  const size_t code = reinterpret_cast<size_t (*)()>(function)();
  return fmt::format("{}.{}.{}", code / 10000, code / 100 % 100, code % 100);
}

}  // namespace

LibraryNames usual_libraries() {
  const std::string python = "/usr/local/lib/python3.12/dist-packages/nvidia/";
  const std::vector<std::string> toolkit{
      "/usr/local/cuda/lib64", "/usr/local/cuda-13.0/lib64", "/usr/lib/x86_64-linux-gnu"};
  std::vector<std::string> cublaslt = toolkit;
  cublaslt.insert(cublaslt.end(), {python + "cu13/lib", python + "cublas/lib"});
  std::vector<std::string> nccl = toolkit;
  nccl.push_back(python + "nccl/lib");
  return {.nvml = nvml_names(),
          .nccl = places("libnccl.so.2", nccl),
          .cublaslt = places("libcublasLt.so.13", cublaslt)};
}

void add_library_versions(const LibraryNames& names, Inventory& inventory) {
  inventory.libraries = {
      .nccl = first_version(names.nccl, "ncclGetVersion", inventory, nccl_version),
      .cublaslt = first_version(names.cublaslt, "cublasLtGetVersion", inventory, cublaslt_version)};
}

}  // namespace tutti
