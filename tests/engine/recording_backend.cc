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

 private:
  void queue(Operation operation) {
    if (tape_->recording) {
      tape_->operations.push_back(std::move(operation));
    } else {
      operation(*inner_);
    }
  }

  void do_embedding(TensorView y,
                    ConstTensorView table,
                    ConstTensorView ids,
                    int64_t first_id) override {
    queue([=](Ops& ops) { ops.embedding(y, table, ids, first_id); });
  }

  void do_rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) override {
    queue([=](Ops& ops) { ops.rms_norm(y, x, weight, eps); });
  }

  void do_add_rms_norm(TensorView y,
                       TensorView residual,
                       ConstTensorView x,
                       ConstTensorView weight,
                       float eps) override {
    queue([=](Ops& ops) { ops.add_rms_norm(y, residual, x, weight, eps); });
  }

  void do_add(TensorView y, ConstTensorView x) override {
    queue([=](Ops& ops) { ops.add(y, x); });
  }

  void do_linear(TensorView y,
                 ConstTensorView x,
                 const WeightView& weight,
                 ConstTensorView bias) override {
    queue([=](Ops& ops) { ops.linear(y, x, weight, bias); });
  }

  void do_grouped_linear(TensorView y,
                         ConstTensorView x,
                         const WeightView& weight,
                         ConstTensorView offsets) override {
    queue([=](Ops& ops) { ops.grouped_linear(y, x, weight, offsets); });
  }

  void do_batched_linear(TensorView y, ConstTensorView x, const WeightView& weight) override {
    queue([=](Ops& ops) { ops.batched_linear(y, x, weight); });
  }

  void do_silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) override {
    queue([=](Ops& ops) { ops.silu_mul(y, gate, up); });
  }

  void do_rope_table(TensorView table,
                     ConstTensorView positions,
                     ConstTensorView inv_freq,
                     float scale) override {
    queue([=](Ops& ops) { ops.rope_table(table, positions, inv_freq, scale); });
  }

  void do_rope(TensorView x, ConstTensorView table, RopeLayout layout) override {
    queue([=](Ops& ops) { ops.rope(x, table, layout); });
  }

  void do_write_kv(TensorView cache, ConstTensorView x, ConstTensorView slots) override {
    queue([=](Ops& ops) { ops.write_kv(cache, x, slots); });
  }

  void do_attention(TensorView out,
                    ConstTensorView q,
                    ConstTensorView k_cache,
                    ConstTensorView v_cache,
                    const AttentionBatch& batch,
                    float scale) override {
    queue([=](Ops& ops) { ops.attention(out, q, k_cache, v_cache, batch, scale); });
  }

  void do_mla_attention(TensorView out,
                        ConstTensorView q_latent,
                        ConstTensorView q_rope,
                        ConstTensorView cache,
                        const AttentionBatch& batch,
                        float scale) override {
    queue([=](Ops& ops) { ops.mla_attention(out, q_latent, q_rope, cache, batch, scale); });
  }

  void do_gather_kv(TensorView y,
                    ConstTensorView cache,
                    const AttentionBatch& batch,
                    ConstTensorView key_begin) override {
    queue([=](Ops& ops) { ops.gather_kv(y, cache, batch, key_begin); });
  }

  void do_mla_expanded_attention(TensorView out,
                                 ConstTensorView q,
                                 ConstTensorView kv,
                                 ConstTensorView k_rope,
                                 const AttentionBatch& batch,
                                 ConstTensorView key_begin,
                                 float scale) override {
    queue(
        [=](Ops& ops) { ops.mla_expanded_attention(out, q, kv, k_rope, batch, key_begin, scale); });
  }

  void do_moe_route(TensorView experts,
                    TensorView weights,
                    ConstTensorView logits,
                    ConstTensorView bias,
                    const RouterParams& params) override {
    queue([=](Ops& ops) { ops.moe_route(experts, weights, logits, bias, params); });
  }

  void do_moe_permute(TensorView row_token,
                      TensorView pair_row,
                      TensorView offsets,
                      ConstTensorView experts) override {
    queue([=](Ops& ops) { ops.moe_permute(row_token, pair_row, offsets, experts); });
  }

  void do_moe_combine(TensorView y,
                      ConstTensorView x,
                      ConstTensorView pair_row,
                      ConstTensorView weights) override {
    queue([=](Ops& ops) { ops.moe_combine(y, x, pair_row, weights); });
  }

  void do_gather_rows(TensorView y, ConstTensorView x, ConstTensorView rows) override {
    queue([=](Ops& ops) { ops.gather_rows(y, x, rows); });
  }

  void do_argmax(TensorView tokens, ConstTensorView logits, int64_t limit) override {
    queue([=](Ops& ops) { ops.argmax(tokens, logits, limit); });
  }

  void do_shard_argmax(const ShardArgmax& args) override {
    queue([=](Ops& ops) { ops.shard_argmax(args); });
  }

  void do_merge_argmax(const MergeArgmax& args) override {
    queue([=](Ops& ops) { ops.merge_argmax(args); });
  }

  void do_draw(TensorView tokens,
               ConstTensorView logits,
               int64_t limit,
               ConstTensorView rows) override {
    queue([=](Ops& ops) { ops.draw(tokens, logits, limit, rows); });
  }

  void do_log_probs(TensorView ids,
                    TensorView values,
                    ConstTensorView tokens,
                    ConstTensorView logits,
                    int64_t limit,
                    ConstTensorView counts) override {
    queue([=](Ops& ops) { ops.log_probs(ids, values, tokens, logits, limit, counts); });
  }

  void do_adjust_logits(TensorView y,
                        ConstTensorView logits,
                        int64_t limit,
                        const AdjustTables& tables,
                        ConstTensorView rows) override {
    queue([=](Ops& ops) { ops.adjust_logits(y, logits, limit, tables, rows); });
  }

  void do_take_adjusted(TensorView chosen,
                        const AdjustTables& tables,
                        ConstTensorView tokens,
                        ConstTensorView rows) override {
    queue([=](Ops& ops) { ops.take_adjusted(chosen, tables, tokens, rows); });
  }

  void do_fill_tokens(TensorView tokens, ConstTensorView last, ConstTensorView rows) override {
    queue([=](Ops& ops) { ops.fill_tokens(tokens, last, rows); });
  }

  void do_scatter(TensorView y, ConstTensorView values, ConstTensorView at) override {
    queue([=](Ops& ops) { ops.scatter(y, values, at); });
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

  std::vector<MemoryPool> memory_pools(int ranks) const override {
    return inner_->memory_pools(ranks);
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
