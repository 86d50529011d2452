#include "engine/ranks/rank_worker.h"

#include <algorithm>

#include "comm/null_communicator.h"
#include "comm/self_communicator.h"
#include "ops/null_ops.h"

namespace tutti {

namespace {

int64_t table_width(const StepShape& shape) {
  return std::max<int64_t>(1, ceil_div(shape.max_context, shape.block_size));
}

// Decode steps of up to this many sequences share one recorded graph. Finer where a row costs more:
// small batches are waiting for weights, and each further eight rows cost them little.
int64_t padded_sequences(int64_t count, int64_t most) {
  int64_t padded = 1;
  while (padded < count && padded < 8) {
    padded *= 2;
  }
  if (count > padded) {
    const int64_t step = count <= 64 ? 8 : count <= 256 ? 16 : 64;
    padded = ceil_div(count, step) * step;
  }
  return std::min(padded, most);
}

static_assert(kMaxTopLogprobs <= kMostLogProbs);

// Where a step puts what it chooses. Log-probabilities are only allocated where they are wanted.
RankWorker::StepResult allocate_choice(Arena& arena, const TensorView& logits, bool log_probs) {
  const int64_t rows = logits.dim(0);
  RankWorker::StepResult out{.logits = logits};
  out.chosen = arena.alloc(DType::kI32, {rows});
  if (log_probs) {
    out.top_ids = arena.alloc(DType::kI32, {rows, kMaxTopLogprobs});
    out.log_probs = arena.alloc(DType::kF32, {rows, 1 + kMaxTopLogprobs});
  }
  return out;
}

struct Adjusted {
  TensorView logits;
  TensorView tokens;
};

Adjusted allocate_adjusted(Arena& arena, int64_t rows, int64_t vocab_size) {
  return {.logits = arena.alloc(DType::kF32, {rows, vocab_size}),
          .tokens = arena.alloc(DType::kI32, {rows})};
}

}  // namespace

Result<std::unique_ptr<RankWorker>> RankWorker::create(
    const HfConfig& config, const ModelOptions& options, int rank, int ranks, DType compute) {
  std::unique_ptr<RankWorker> worker(new RankWorker());
  worker->rank_ = rank;
  worker->ranks_ = ranks;
  TUTTI_TRY(worker->model_,
            make_model(config, Scope(worker->registry_, Partition(rank, ranks)), options));
  TUTTI_RETURN_IF_ERROR(worker->registry_.status());
  worker->info_ = worker->model_->info();
  worker->info_.kv.dtype = compute;
  worker->steady_ = options.mla_form == MlaForm::kAbsorbed;
  return worker;
}

Result<LoadPlan> RankWorker::plan(const Checkpoint* checkpoint, const QuantConfig& quant) {
  return WeightLoader(registry_, checkpoint, quant).plan(info().ignored_prefixes);
}

Result<int64_t> RankWorker::dummy_bytes(DType dtype) {
  return WeightLoader(registry_, nullptr, {}).dummy_bytes(dtype);
}

int64_t RankWorker::measure_arena(const StepShape& shape) {
  const ParamStandIns stand_ins(registry_);
  Arena arena = Arena::measuring();
  NullOps ops;
  NullCommunicator tp(rank_, ranks_);
  SelfCommunicator self;
  ParallelContext parallel{.tp = tp, .dp = self, .ep = self, .pp = self};
  const int64_t adjusted = rank_ == 0 ? shape.max_adjusted : 0;
  BlockTables::borrow(arena);
  DeviceInputs in = lay_out_inputs(arena,
                                   {.tokens = shape.max_tokens,
                                    .sequences = shape.max_sequences,
                                    .logits = shape.max_logit_rows,
                                    .draws = shape.max_logit_rows,
                                    .log_probs = shape.max_logit_rows,
                                    .adjusted = adjusted,
                                    .ropes = info_.long_rope_from > 0 ? shape.max_tokens : 0},
                                   table_width(shape),
                                   shape.block_size);
  in.step.attention.max_queries = shape.max_tokens;
  in.step.attention.max_keys = shape.max_context;
  in.step.total_keys = shape.max_context;
  const KvCache kv = KvCache::measuring(info_.kv, 1, shape.block_size);
  const StepContext ctx{ops, parallel, arena, kv, in.step, info_.kv.dtype};
  const TensorView logits = model_->forward(ctx);
  allocate_choice(arena, logits, /*log_probs=*/true);
  allocate_adjusted(arena, adjusted, logits.dim(1));
  return arena.peak();
}

int64_t RankWorker::table_bytes(const StepShape& shape) {
  return BlockTables::device_bytes(shape.max_sequences, table_width(shape)) +
         shape.max_sequences * dtype_size(DType::kI32);
}

Status RankWorker::load(RankContext& rank,
                        const Checkpoint& checkpoint,
                        const QuantConfig& quant,
                        int threads,
                        std::atomic<int64_t>& done) {
  WeightLoader loader(registry_, &checkpoint, quant);
  const Status status = loader.load(rank.device, {.threads = threads}, &done);
  read_bytes_ = loader.read_bytes();
  return status;
}

Status RankWorker::load_dummy(RankContext& rank, DType dtype, int threads) {
  return WeightLoader(registry_, nullptr, {})
      .load_dummy(rank.device, dtype, static_cast<uint64_t>(rank_) + 1, {.threads = threads});
}

Status RankWorker::allocate(RankContext& rank, int64_t num_blocks, const StepShape& shape) {
  TUTTI_TRY(KvCache cache, KvCache::create(rank.device, info().kv, num_blocks, shape.block_size));
  kv_.emplace(std::move(cache));
  TUTTI_RETURN_IF_ERROR(tables_.allocate(rank, shape.max_sequences, table_width(shape)));
  TUTTI_TRY(last_tokens_,
            Tensor::empty(rank.device, DType::kI32, {shape.max_sequences}, "last tokens"));
  const std::vector<int32_t> zeros(usize(shape.max_sequences), 0);
  TUTTI_RETURN_IF_ERROR(set_last_tokens(rank, zeros));
  TUTTI_TRY(Arena arena, Arena::create(rank.device, measure_arena(shape)));
  arena_.emplace(std::move(arena));
  return ok_status();
}

Status RankWorker::set_last_tokens(RankContext& rank, std::span<const int32_t> tokens) {
  return rank.device.copy_from_host(
      last_tokens_.view().raw(), tokens.data(), ssize(tokens.size_bytes()), rank.stream);
}

Status RankWorker::begin(RankContext& rank,
                         const Batch& batch,
                         std::span<const int32_t> logit_rows,
                         const std::optional<Choice>& choice) {
  arena_->reset();
  TUTTI_RETURN_IF_ERROR(tables_.update(rank, *arena_, batch));
  fill_host_inputs(batch, tables_, logit_rows, kv_->block_size(), info_.long_rope_from, inputs_);
  if (choice) {
    inputs_.draws.assign(choice->draws.begin(), choice->draws.end());
    inputs_.log_probs.assign(choice->log_probs.begin(), choice->log_probs.end());
    inputs_.adjusted.assign(choice->adjusted.begin(), choice->adjusted.end());
    inputs_.adjusted_draws.assign(choice->adjusted_draws.begin(), choice->adjusted_draws.end());
  }
  return ok_status();
}

int64_t RankWorker::needed_width() const {
  return std::max<int64_t>(1, ceil_div(inputs_.max_keys, kv_->block_size()));
}

Result<DeviceInputs> RankWorker::upload(RankContext& rank, int64_t table_width) {
  DeviceInputs in = lay_out_inputs(*arena_, inputs_.rows(), table_width, kv_->block_size());
  in.step.attention.max_queries = inputs_.max_queries;
  in.step.attention.max_keys = std::min(table_width * kv_->block_size(), inputs_.max_keys);
  in.step.total_keys = inputs_.key_begin.back();
  TUTTI_RETURN_IF_ERROR(upload_inputs(rank, inputs_, in));
  return in;
}

TensorView RankWorker::forward(RankContext& rank, const DeviceInputs& in) {
  rank.ops.fill_tokens(in.tokens, last_tokens_.view(), in.token_rows);
  rank.ops.gather_rows(in.block_table, tables_.device(in.block_table.dim(1)), in.table_rows);
  return model_->forward({rank.ops, rank.parallel, *arena_, *kv_, in.step, info_.kv.dtype});
}

void RankWorker::choose_adjusted(RankContext& rank,
                                 const DeviceInputs& in,
                                 const Choice& choice,
                                 const StepResult& out) {
  const Adjusted adjusted = allocate_adjusted(*arena_, in.adjusted.dim(0), out.logits.dim(1));
  rank.ops.adjust_logits(adjusted.logits, out.logits, choice.limit, choice.tables, in.adjusted);
  rank.ops.draw(adjusted.tokens, adjusted.logits, choice.limit, in.adjusted_draws);
  rank.ops.take_adjusted(out.chosen, choice.tables, adjusted.tokens, in.adjusted);
}

RankWorker::StepResult RankWorker::run(RankContext& rank,
                                       const DeviceInputs& in,
                                       const std::optional<Choice>& choice) {
  const TensorView logits = forward(rank, in);
  StepResult out;
  out.logits = logits;
  if (choice) {
    out = allocate_choice(*arena_, logits, !choice->log_probs.empty());
    if (choice->draws.empty()) {
      rank.ops.argmax(out.chosen, logits, choice->limit);
    } else {
      rank.ops.draw(out.chosen, logits, choice->limit, in.draws);
    }
    if (!choice->adjusted.empty()) {
      choose_adjusted(rank, in, *choice, out);
    }
    rank.ops.scatter(last_tokens_.view(), out.chosen, in.sampled_rows);
    if (!choice->log_probs.empty()) {
      rank.ops.log_probs(
          out.top_ids, out.log_probs, out.chosen, logits, choice->limit, in.log_probs);
    }
  }
  return out;
}

Result<RankWorker::StepResult> RankWorker::step(RankContext& rank,
                                                const Batch& batch,
                                                const std::optional<Choice>& choice) {
  const TraceScope trace("step", static_cast<long long>(batch.step));
  TUTTI_RETURN_IF_ERROR(begin(rank, batch, {}, choice));
  if (choice && replays(rank, batch)) {
    return replay(rank, *choice);
  }
  TUTTI_TRY(const DeviceInputs in, upload(rank, needed_width()));
  return run(rank, in, choice);
}

Result<TensorView> RankWorker::logits(RankContext& rank,
                                      const Batch& batch,
                                      const std::vector<int32_t>& rows) {
  const TraceScope trace("step", static_cast<long long>(batch.step));
  TUTTI_RETURN_IF_ERROR(begin(rank, batch, rows, std::nullopt));
  TUTTI_TRY(const DeviceInputs in, upload(rank, needed_width()));
  return forward(rank, in);
}

Result<std::vector<OpTiming>> RankWorker::profile(RankContext& rank, const Batch& batch) {
  constexpr int kPasses = 4;  // the first loads what is loaded when first used
  AttentionWork work;
  for (const BatchSequence& s : batch.sequences) {
    work.keys += s.context_before + s.token_count;
    work.pairs += s.token_count * s.context_before + s.token_count * (s.token_count + 1) / 2;
  }
  OpTimer timer(rank);
  ObservedOps ops(rank.ops, timer, work);
  RankContext observed{rank.rank, rank.device, ops, rank.parallel, rank.stream};
  for (int pass = 0; pass < kPasses; ++pass) {
    TUTTI_RETURN_IF_ERROR(begin(rank, batch, {}, {}));
    TUTTI_TRY(const DeviceInputs in, upload(rank, needed_width()));
    TUTTI_RETURN_IF_ERROR(timer.start_pass());
    run(observed, in, Choice{.limit = info_.vocab_size});
    TUTTI_RETURN_IF_ERROR(timer.finish_pass());
  }
  return timer.timings();
}

// Collectives are left out: ranks that record must agree on when they do.
bool RankWorker::replays(RankContext& rank, const Batch& batch) const {
  return steady_ && rank.device.records_graphs() && rank.parallel.tp.size() == 1 &&
         !batch.sequences.empty() &&
         std::all_of(batch.sequences.begin(), batch.sequences.end(), [](const BatchSequence& s) {
           return s.sample && s.token_count == 1;
         });
}

// The arena hands out the same addresses for the same number of sequences, so a recorded step finds
// its inputs where they were. What a graph holds fast is independent of the lengths: the block
// table has its full width, and the kernels read lengths from memory.
Result<RankWorker::StepResult> RankWorker::replay(RankContext& rank, const Choice& choice) {
  const int64_t padded = padded_sequences(inputs_.rows().sequences, tables_.slots());
  pad_host_inputs(padded, inputs_);
  inputs_.max_keys = tables_.width() * kv_->block_size();
  TUTTI_TRY(const DeviceInputs in, upload(rank, tables_.width()));
  DecodeGraph& decode =
      graphs_[{padded, !choice.draws.empty(), !choice.log_probs.empty(), ssize(choice.adjusted)}];
  if (!decode.seen) {
    decode.seen = true;
    return run(rank, in, choice);
  }
  if (!decode.graph) {
    TUTTI_TRY(decode.graph, rank.device.record(rank.stream, [&] {
      decode.result = run(rank, in, choice);
      return ok_status();
    }));
  }
  TUTTI_RETURN_IF_ERROR(decode.graph->launch(rank.stream));
  return decode.result;
}

int64_t RankWorker::weight_bytes() const {
  int64_t bytes = 0;
  for (const Param& p : registry_.params()) {
    bytes += p.bytes();
  }
  return bytes;
}

RankWorker::DecodeWeights RankWorker::decode_weights() const {
  const bool untied = std::any_of(registry_.params().begin(),
                                  registry_.params().end(),
                                  [](const Param& p) { return p.spec().name == "lm_head.weight"; });
  DecodeWeights out;
  for (const Param& p : registry_.params()) {
    if (p.loaded() && !(untied && p.spec().name == "model.embed_tokens.weight")) {
      out.bytes += p.bytes();
      out.elements += p.tensor().numel();
    }
  }
  return out;
}

std::vector<int> legal_rank_counts(const HfConfig& config, const ModelOptions& options, int limit) {
  std::vector<int> legal;
  for (int ranks = 1; ranks <= limit; ++ranks) {
    if (RankWorker::create(config, options, 0, ranks).ok()) {
      legal.push_back(ranks);
    }
  }
  return legal;
}

}  // namespace tutti
