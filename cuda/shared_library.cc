#include "cuda/shared_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "base/file.h"

namespace tutti::cuda {

Result<SharedLibrary> open_shared_library(const char* soname,
                                          const std::vector<std::string>& directories,
                                          const char* what,
                                          const char* remedy) {
  std::vector<std::string> candidates{soname};
  for (const std::string& directory : directories) {
    candidates.push_back(join_path(directory, soname));
  }
  std::string tried;
  for (const std::string& candidate : candidates) {
    void* handle = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr) {
      return SharedLibrary{handle, candidate};
    }
    // The reason matters only where a file is there and does not load.
    const bool there = candidate != soname && file_exists(candidate);
    tried += fmt::format("{}{}{}",
                         tried.empty() ? "" : ", ",
                         candidate,
                         there ? fmt::format(" ({})", dlerror()) : "");
  }
  return error(StatusCode::kUnavailable, "{} was not found (tried {}); {}", what, tried, remedy);
}

}  // namespace tutti::cuda
