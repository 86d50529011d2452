// A backend makes what one rank needs: a device, ops on it, an endpoint of the group. The CPU
// backend is built in; the CUDA backend lives in libtutti_cuda.so.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/rank_choice.h"
#include "base/status.h"
#include "base/tuning_cache.h"
#include "comm/communicator.h"
#include "device/device.h"
#include "ops/ops.h"

namespace tutti {

struct RankResources {
  std::unique_ptr<Device> device;
  std::unique_ptr<Stream> stream;  ///< where `ops` and `tp` queue their work, in order
  std::unique_ptr<Ops> ops;
  std::unique_ptr<Communicator> tp;
};

/// The ranks of one group, and the way to wake them all when one fails.
class RankSet {
 public:
  virtual ~RankSet() = default;
  virtual std::vector<RankResources>& ranks() = 0;
  /// Makes every pending and future collective throw DeviceError(reason), or, where collectives are
  /// queued on devices, end there at once. Any thread.
  virtual void abort(const std::string& reason) = 0;

  /// A rank has failed between two collectives and its device is sound: whoever is in, or comes to,
  /// a collective that this rank has not entered throws CollectiveInterrupted, until resume().
  /// False where that cannot be done, and nothing was. Any thread.
  virtual bool interrupt() { return ranks().size() == 1; }

  /// Ends interrupt(). No rank is in a collective; their next ones go together.
  virtual void resume() {}

  /// "2 ranks on 1 GPU, direct": what collectives go through.
  virtual std::string describe() const { return {}; }

  /// kDevice once a collective has failed (a time-out, on a device or among threads) or the ranks
  /// were aborted: names operation, rank and peer, or says why. What was computed since is
  /// worthless. Any thread; does not wait.
  virtual Status health() const { return ok_status(); }
};

/// What sums among ranks of GPUs go through.
enum class SumsVia {
  kBest,  ///< the GPUs' memory where they reach each other, else the host's
  kPeer,  ///< refused where they do not
  kHost,
  kNccl,
};

/// What ranks are wanted.
struct RankRequest {
  int ranks = 1;
  SumsVia sums = SumsVia::kBest;
  /// How long a rank waits in a collective for the others before the group is given up.
  std::chrono::milliseconds collective_timeout{30'000};
  /// Where ranks look up and keep what they measure; outlives them. nullptr: nowhere.
  TuningCache* tuning = nullptr;
};

/// Memory that one or several ranks take theirs from.
struct MemoryPool {
  std::string name;  ///< "cuda:0 (NVIDIA H200)", for people
  int64_t free = 0;  ///< bytes that models may still take
  std::vector<int> ranks;
};

/// What the hardware of all ranks together delivers at most, measured; 0: not measured.
struct Ceilings {
  double read = 0;   ///< bytes per second to readers
  double copy = 0;   ///< bytes per second read and written by a copy, both counted
  double flops = 0;  ///< per second, of large matrix products in a compute type
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// How many ranks a model gets that can be split over `legal` of them, and on what; `tp`: asked
  /// for, 0 = chosen. kInvalidArgument and kUnavailable say what to type.
  virtual Result<RankChoice> choose_ranks(int tp, const LegalRanks& legal) {
    static_cast<void>(legal);
    return RankChoice{.ranks = tp > 0 ? tp : 1};
  }

  /// What `choice` uses and what it leaves out: "cpu (16 threads)", "4 x NVIDIA H200 (cuda:0-3)".
  /// For people.
  virtual std::string describe(const RankChoice& choice) const = 0;
  /// The memory of `ranks` ranks, which make_ranks() would accept; every rank is in one pool.
  virtual std::vector<MemoryPool> memory_pools(int ranks) const = 0;
  /// Whether there is one pool, which other programs use too: the host's memory.
  virtual bool ranks_share_memory() const = 0;
  /// Memory that one rank takes for itself beside weights, KV cache and activations: workspaces,
  /// the code of kernels, state of libraries.
  virtual int64_t rank_overhead_bytes() const = 0;

  /// What measurements of this backend depend on besides their shapes: GPU, driver, libraries,
  /// build. Empty: it measures nothing worth keeping.
  virtual std::string tuning_identity() const { return {}; }

  /// Measured now on what `choice` uses, with matrix products in `compute`.
  virtual Result<Ceilings> measure_ceilings(const RankChoice& choice, DType compute) = 0;
  /// The type of activations and KV cache if nobody asks for another.
  virtual DType default_compute() const = 0;
  /// kUnsupported says which types this backend computes in.
  virtual Status check_compute(DType act) const = 0;
  virtual Result<std::unique_ptr<RankSet>> make_ranks(const RankRequest& request) = 0;
};

}  // namespace tutti
