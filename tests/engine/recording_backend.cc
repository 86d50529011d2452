#include "engine/recording_backend.h"

#include <cstring>
#include <functional>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "backend/cpu_backend.h"
#include "base/check.h"
#include "base/checked.h"

namespace tutti::test {

namespace {

using Operation = std::function<void(Ops&)>;

// Where operations go while a step is recorded.
struct Tape {
  bool recording = false;
  std::vector<Operation> operations;
};

class TapedOps final : public Ops {
 public:
  TapedOps(std::shared_ptr<Ops> inner, std::shared_ptr<Tape> tape)
      : inner_(std::move(inner)), tape_(std::move(tape)) {}

  const char* name() const override { return "taped"; }

  std::vector<KernelCalls> kernel_calls() const override {
    return {{"skinny_gemm", 5},
            {"simple_matmul", kGeneralMatmuls},
            {"simple_attention", kGeneralAttentions}};
  }

 private:
  void execute(const OpCall& op) override {
    if (!tape_->recording) {
      inner_->call(op);
      return;
    }
    tape_->operations.push_back([kept = op.copy()](Ops& ops) {
      std::visit([&ops](const auto& args) { ops.call(args); }, kept);
    });
  }

  std::shared_ptr<Ops> inner_;
  std::shared_ptr<Tape> tape_;
};

// Collectives are recorded as operations are.
class TapedCommunicator final : public Communicator {
 public:
  TapedCommunicator(std::unique_ptr<Communicator> inner, std::shared_ptr<Tape> tape)
      : inner_(std::move(inner)), tape_(std::move(tape)) {}

  int rank() const override { return inner_->rank(); }

  int size() const override { return inner_->size(); }

  void all_reduce_sum(TensorView x) override {
    queue([this, x] { inner_->all_reduce_sum(x); });
  }

  void all_gather_columns(TensorView out,
                          ConstTensorView in,
                          std::span<const int64_t> widths) override {
    queue([this, out, in, copy = std::vector<int64_t>(widths.begin(), widths.end())] {
      inner_->all_gather_columns(out, in, copy);
    });
  }

  void exchange_rows(const ExchangeRows& args) override {
    queue([this, args, copy = std::vector<int64_t>(args.widths.begin(), args.widths.end())] {
      inner_->exchange_rows({.out = args.out, .in = args.in, .widths = copy});
    });
  }

  void broadcast(const Broadcast& args) override {
    queue([this, args] { inner_->broadcast(args); });
  }

  void barrier() override { inner_->barrier(); }

 private:
  void queue(std::function<void()> collective) {
    if (tape_->recording) {
      tape_->operations.push_back([collective = std::move(collective)](Ops&) { collective(); });
    } else {
      collective();
    }
  }

  std::unique_ptr<Communicator> inner_;
  std::shared_ptr<Tape> tape_;
};

// Copies to the host that nobody has waited for.
class Deliveries {
 public:
  void add(void* to, const void* from, int64_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto* begin = static_cast<const char*>(from);
    waiting_.push_back({.to = to, .bytes = {begin, begin + bytes}});
    ++added_;
  }

  int64_t added() {
    const std::lock_guard lock(mutex_);
    return added_;
  }

  /// All but those after the first `count`.
  void deliver(int64_t count) {
    const std::lock_guard lock(mutex_);
    for (; delivered_ < count; ++delivered_) {
      const Delivery& next = waiting_.front();
      if (!next.bytes.empty()) {
        std::memcpy(next.to, next.bytes.data(), next.bytes.size());
      }
      waiting_.erase(waiting_.begin());
    }
  }

 private:
  struct Delivery {
    void* to = nullptr;
    std::vector<char> bytes;
  };

  std::mutex mutex_;
  std::vector<Delivery> waiting_;
  int64_t added_ = 0;
  int64_t delivered_ = 0;
};

class LateStream final : public Stream {
 public:
  LateStream(std::unique_ptr<Stream> inner, std::shared_ptr<Deliveries> deliveries)
      : inner_(std::move(inner)), deliveries_(std::move(deliveries)) {}

  Status synchronize() override {
    deliveries_->deliver(deliveries_->added());
    return inner_->synchronize();
  }

 private:
  std::unique_ptr<Stream> inner_;
  std::shared_ptr<Deliveries> deliveries_;
};

class LateFence final : public Fence {
 public:
  explicit LateFence(std::shared_ptr<Deliveries> deliveries) : deliveries_(std::move(deliveries)) {}

  Status record(Stream&) override {
    behind_ = deliveries_->added();
    return ok_status();
  }

  Status wait() override {
    deliveries_->deliver(behind_);
    return ok_status();
  }

 private:
  std::shared_ptr<Deliveries> deliveries_;
  std::atomic<int64_t> behind_{0};
};

class TapedGraph final : public Graph {
 public:
  TapedGraph(std::vector<Operation> operations,
             std::shared_ptr<Ops> ops,
             std::shared_ptr<Recordings> recordings)
      : operations_(std::move(operations)),
        ops_(std::move(ops)),
        recordings_(std::move(recordings)) {}

  Status launch(Stream&) override {
    for (const Operation& operation : operations_) {
      operation(*ops_);
    }
    ++recordings_->replayed;
    return ok_status();
  }

 private:
  std::vector<Operation> operations_;
  std::shared_ptr<Ops> ops_;
  std::shared_ptr<Recordings> recordings_;
};

class RecordingDevice final : public Device {
 public:
  RecordingDevice(std::unique_ptr<Device> inner,
                  std::shared_ptr<Ops> ops,
                  std::shared_ptr<Tape> tape,
                  std::shared_ptr<Recordings> recordings)
      : inner_(std::move(inner)),
        ops_(std::move(ops)),
        tape_(std::move(tape)),
        recordings_(std::move(recordings)) {}

  DeviceKind kind() const override { return inner_->kind(); }

  int index() const override { return inner_->index(); }

  std::string name() const override { return "recording " + inner_->name(); }

  int64_t total_bytes() const override { return inner_->total_bytes(); }

  int64_t free_bytes() const override { return inner_->free_bytes(); }

  void* allocate(int64_t bytes) override { return inner_->allocate(bytes); }

  void deallocate(void* data, int64_t bytes) override { inner_->deallocate(data, bytes); }

  Status copy_from_host(void* to, const void* from, int64_t bytes, Stream& stream) override {
    TUTTI_CHECK(!tape_->recording);  // a graph would copy again what is gone by then
    return inner_->copy_from_host(to, from, bytes, stream);
  }

  Status copy_to_host(void* to, const void* from, int64_t bytes, Stream&) override {
    TUTTI_CHECK(!tape_->recording);
    const bool pinned = pinned_.contains(to);
    recordings_->logits_fetched += loaded_ && !pinned ? 1 : 0;
    deliveries_->add(to, from, bytes);
    return ok_status();
  }

  std::unique_ptr<Stream> new_stream() override {
    return std::make_unique<LateStream>(inner_->new_stream(), deliveries_);
  }

  std::unique_ptr<Fence> new_fence() override {
    loaded_ = true;
    return std::make_unique<LateFence>(deliveries_);
  }

  Result<std::unique_ptr<PieceWriter>> new_piece_writer(Stream& stream,
                                                        int64_t piece_bytes) override {
    return inner_->new_piece_writer(stream, piece_bytes);
  }

  std::unique_ptr<Timer> new_timer() override { return inner_->new_timer(); }

  Status pause(Stream& stream, double seconds) override { return inner_->pause(stream, seconds); }

  void* allocate_host(int64_t bytes) override {
    return *pinned_.insert(inner_->allocate_host(bytes)).first;
  }

  void deallocate_host(void* data) override {
    pinned_.erase(data);
    inner_->deallocate_host(data);
  }

  bool records_graphs() const override { return true; }

  Result<std::unique_ptr<Graph>> record(Stream&, const std::function<Status()>& work) override {
    tape_->recording = true;
    const Status status = work();
    tape_->recording = false;
    if (!status.ok()) {
      return status;
    }
    ++recordings_->recorded;
    return std::unique_ptr<Graph>(
        std::make_unique<TapedGraph>(std::exchange(tape_->operations, {}), ops_, recordings_));
  }

 private:
  std::unique_ptr<Device> inner_;
  std::shared_ptr<Ops> ops_;
  std::shared_ptr<Tape> tape_;
  std::shared_ptr<Recordings> recordings_;
  std::shared_ptr<Deliveries> deliveries_ = std::make_shared<Deliveries>();
  std::set<void*> pinned_;
  bool loaded_ = false;  // fences are made for steps
};

class RecordingBackend final : public Backend {
 public:
  explicit RecordingBackend(std::shared_ptr<Recordings> recordings)
      : recordings_(std::move(recordings)) {}

  std::string describe(const RankChoice& choice) const override {
    return "recording " + inner_->describe(choice);
  }

  // As of a device that nobody else uses: the host's free memory changes by itself.
  std::vector<MemoryPool> memory_pools(int ranks) const override {
    std::vector<MemoryPool> pools = inner_->memory_pools(ranks);
    for (MemoryPool& pool : pools) {
      pool.free = int64_t{1} << 30;
    }
    return pools;
  }

  bool ranks_share_memory() const override { return false; }

  int64_t rank_overhead_bytes() const override { return 0; }

  Result<Ceilings> measure_ceilings(const RankChoice& choice, DType compute) override {
    return inner_->measure_ceilings(choice, compute);
  }

  DType default_compute() const override { return inner_->default_compute(); }

  Status check_compute(DType act) const override { return inner_->check_compute(act); }

  Result<std::unique_ptr<RankSet>> make_ranks(const RankRequest& request) override {
    TUTTI_TRY(std::unique_ptr<RankSet> set, inner_->make_ranks(request));
    for (RankResources& rank : set->ranks()) {
      const auto tape = std::make_shared<Tape>();
      const std::shared_ptr<Ops> ops = std::move(rank.ops);
      rank.ops = std::make_unique<TapedOps>(ops, tape);
      rank.device =
          std::make_unique<RecordingDevice>(std::move(rank.device), ops, tape, recordings_);
      rank.stream = rank.device->new_stream();
      rank.tp = std::make_unique<TapedCommunicator>(std::move(rank.tp), tape);
    }
    return set;
  }

 private:
  std::unique_ptr<Backend> inner_ = make_cpu_backend({.threads = 2});
  std::shared_ptr<Recordings> recordings_;
};

}  // namespace

std::unique_ptr<Backend> make_recording_backend(std::shared_ptr<Recordings> recordings) {
  return std::make_unique<RecordingBackend>(std::move(recordings));
}

}  // namespace tutti::test
