// One mistake for every operation and collective that the forward pass of a fixture uses: what the
// golden criterion of GPUs must notice (planted_mistakes_test.cc). For the CPU in f32.
#pragma once
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "backend/backend.h"

namespace tutti::testing {

/// Names of operations (OpCall::name) and collectives (as of Communicator) that were called.
class SeenCalls {
 public:
  void add(const char* name) {
    const std::lock_guard lock(mutex_);
    names_.insert(name);
  }

  std::set<std::string> names() const {
    const std::lock_guard lock(mutex_);
    return names_;
  }

 private:
  mutable std::mutex mutex_;
  std::set<std::string> names_;
};

struct PlantedOptions {
  /// Every call of the operation or collective of this name is wrong in its one way; empty: all are
  /// right. One for which no mistake was thought of is right too, so that a test of it fails.
  std::string mistake;
  /// Fused operations are made of their parts, as by backends that do not have them.
  bool in_parts = false;
  bool rounds = false;        ///< the fused collective rounds to bf16, as `inner` does
  SeenCalls* seen = nullptr;  ///< borrowed, or nullptr
};

/// `inner` computes on the host in f32. Its ranks also get the fused collective that GPUs have.
std::unique_ptr<Backend> make_planted_backend(std::unique_ptr<Backend> inner,
                                              const PlantedOptions& options);

}  // namespace tutti::testing
