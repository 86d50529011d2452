// How the memory of a pool is shared out beside weights and activations: one rule for the runner,
// which allocates, and for plans, which only say.
#pragma once
#include <cstdint>
#include <string>

namespace tutti {

/// Left free beside what is planned: tokenizer, HTTP buffers, the program itself, fragments.
inline constexpr int64_t kReserveBytes = int64_t{256} << 20;

/// Bytes of one memory pool, over the ranks that share it; all but the last computed before
/// anything is loaded.
struct MemoryPlan {
  std::string pool;  ///< MemoryPool::name
  int ranks = 1;
  int64_t free = 0;  ///< before loading
  int64_t weights = 0;
  int64_t activations = 0;
  int64_t overhead = 0;  ///< Backend::rank_overhead_bytes, and recorded steps
  int64_t kv = 0;
  /// Less free after loading than before; 0 where ranks share memory with everybody else. What
  /// other programs took or gave back meanwhile is in it.
  int64_t measured = 0;
  int64_t held =
      0;  ///< after loading, by the ranks' own count: all but the code of kernels and libraries

  int64_t planned() const { return weights + activations + overhead + kv; }
};

struct KvWish {
  int64_t available = 0;  ///< bytes left in the pool beside all else
  bool shared = false;    ///< other programs use the pool too: the host's memory
  int64_t sequence = 0;   ///< bytes of one sequence of full length, over the pool's ranks
  int64_t max_sequences = 1;
};

/// Bytes of the KV cache if nobody said how many: enough for every sequence at full length, but no
/// more than there is, and of memory that others use too no more than half.
constexpr int64_t chosen_kv_bytes(const KvWish& wish) {
  const int64_t most = wish.shared ? wish.available / 2 : wish.available;
  const bool all_fit = wish.sequence <= most / wish.max_sequences;
  return all_fit ? wish.sequence * wish.max_sequences : most;
}

}  // namespace tutti
