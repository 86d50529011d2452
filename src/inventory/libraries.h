// Versions of NVIDIA's libraries that are installed.
#pragma once
#include <string>
#include <vector>

#include "inventory/inventory.h"

namespace tutti {

/// Where libraries may lie: names for the loader's own path, or paths.
struct LibraryNames {
  std::vector<std::string> nvml;
  std::vector<std::string> nccl;
  std::vector<std::string> cublaslt;
};

/// The usual places.
LibraryNames usual_libraries();

/// Fills libraries: of each the first that loads. One that is nowhere is no error: the program
/// needs none of them to start.
void add_library_versions(const LibraryNames& names, Inventory& inventory);

}  // namespace tutti
