// What may be told of a machine: inventories are attached to bug reports.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "inventory/inventory.h"
#include "inventory/system.h"

namespace tutti {

/// Variables whose names begin with CUDA_, NVIDIA_, NCCL_ or TUTTI_, less those whose name or value
/// looks like a secret or names the host.
std::map<std::string, std::string> public_environment(const System& system);

/// Takes names of the host and of users out of texts.
class Scrubber {
 public:
  explicit Scrubber(const System& system);

  /// "/home/ada/tutti on box7" -> "~/tutti on <host>".
  std::string scrub(const std::string& text) const;
  /// In all texts that programs, people or libraries wrote.
  void scrub(Inventory& inventory) const;

 private:
  struct Word {
    std::string name;
    const char* instead;
  };

  std::vector<Word> words_;
};

}  // namespace tutti
