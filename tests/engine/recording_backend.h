// A CPU backend that behaves as GPUs do where the runner looks: it records steps and replays them,
// and what it copies to the host is there when the host has waited, not before.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>

#include "backend/backend.h"

namespace tutti::test {

/// Of the kernels that its operations say took them: those that docs/kernels.md calls general.
inline constexpr int64_t kGeneralMatmuls = 3;
inline constexpr int64_t kGeneralAttentions = 4;

/// What was done; over all ranks.
struct Recordings {
  std::atomic<int64_t> recorded{0};  ///< graphs
  std::atomic<int64_t> replayed{0};  ///< launches of graphs
  /// Copies to memory that the device does not write by itself, after loading: of logits that the
  /// host's sampler asks for.
  std::atomic<int64_t> logits_fetched{0};
};

std::unique_ptr<Backend> make_recording_backend(std::shared_ptr<Recordings> recordings);

}  // namespace tutti::test
