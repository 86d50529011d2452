#include "engine/ranks/rank_worker.h"

#include <algorithm>
#include <string>

#include "base/checked.h"
#include "comm/null_communicator.h"
#include "comm/self_communicator.h"
#include "ops/null_ops.h"
#include "ops/supported_ops.h"

namespace tutti {

namespace {

// Of the largest step.
StepRows step_rows(const StepShape& shape, const CausalLmInfo& info) {
  return {.tokens = shape.max_tokens,
          .sequences = shape.max_sequences,
          .logits = shape.max_logit_rows,
          .draws = shape.max_logit_rows,
          .log_probs = shape.max_logit_rows,
          .adjusted = shape.max_adjusted,
          .ropes = info.long_rope_from > 0 ? shape.max_tokens : 0};
}

}  // namespace

Result<std::unique_ptr<RankWorker>> RankWorker::create(
    const HfConfig& config, const ModelOptions& options, int rank, int ranks, DType compute) {
  std::unique_ptr<RankWorker> worker(new RankWorker());
  worker->rank_ = rank;
  worker->ranks_ = ranks;
  TUTTI_TRY(
      worker->model_,
      make_model(
          config, Scope(worker->registry_, Partition(rank, ranks, config.quant.units())), options));
  TUTTI_RETURN_IF_ERROR(worker->registry_.status());
  worker->info_ = worker->model_->info();
  worker->info_.kv.dtype = compute;
  worker->steady_ = options.mla_form == MlaForm::kAbsorbed;
  return worker;
}

Result<LoadPlan> RankWorker::plan(const TensorSource* tensors,
                                  const QuantConfig& quant,
                                  DType made_up) {
  return WeightLoader(registry_, tensors, quant, {.made_up = made_up, .derived = info_.kv.dtype})
      .plan(info().ignored_prefixes);
}

int64_t RankWorker::measure_arena(const StepShape& shape) {
  Arena arena = Arena::measuring();
  NullOps ops;
  dry_run(ops, arena, shape);
  DeviceSampler::measure(arena, step_rows(shape, info_), info_.vocab_size, ranks_);
  return arena.peak();
}

Status RankWorker::check_supported(RankHandles& rank, const StepShape& shape) {
  Arena arena = Arena::measuring();
  SupportedOps ops(rank.ops);
  dry_run(ops, arena, shape);
  return ops.status();
}

void RankWorker::dry_run(Ops& ops, Arena& arena, const StepShape& shape) {
  const ParamStandIns stand_ins(registry_);
  NullCommunicator tp(rank_, ranks_);
  SelfCommunicator self;
  ParallelGroups parallel{.tp = tp, .dp = self, .ep = self, .pp = self};
  DeviceTables::borrow(arena);
  DeviceInputs in =
      lay_out_inputs(arena, step_rows(shape, info_), shape.table_width(), shape.block_size);
  in.step.attention.max_queries = shape.max_tokens;
  in.step.attention.max_keys = shape.max_context;
  in.step.total_keys = shape.max_context;
  const KvCache kv = KvCache::measuring(info_.kv, 1, shape.block_size);
  const StepContext ctx{{ops, parallel, arena, info_.kv.dtype}, kv, in.step};
  forward(ctx);
}

int64_t RankWorker::table_bytes(const StepShape& shape) {
  return DeviceTables::device_bytes(shape.max_sequences, shape.table_width()) +
         shape.max_sequences * dtype_size(DType::kI32) +
         AdjustedTables::device_bytes(shape.max_adjusted, shape.vocab_size);
}

Status RankWorker::load(RankHandles& rank,
                        const TensorSource& tensors,
                        const QuantConfig& quant,
                        int threads,
                        std::atomic<int64_t>& done) {
  WeightLoader loader(registry_, &tensors, quant, {.derived = info_.kv.dtype});
  const Status status = loader.load(rank.device, {.threads = threads}, &done);
  read_bytes_ = loader.read_bytes();
  return status;
}

Status RankWorker::load_dummy(RankHandles& rank,
                              const QuantConfig& quant,
                              DType made_up,
                              int threads) {
  return WeightLoader(registry_, nullptr, quant, {.made_up = made_up, .derived = info_.kv.dtype})
      .load_dummy(rank.device, static_cast<uint64_t>(rank_) + 1, {.threads = threads});
}

Status RankWorker::allocate(RankHandles& rank, const StepShape& shape) {
  shape_ = shape;
  TUTTI_TRY(KvCache cache,
            KvCache::create(rank.device, info().kv, shape.num_blocks, shape.block_size));
  kv_.emplace(std::move(cache));
  TUTTI_RETURN_IF_ERROR(tables_.allocate(rank, shape.max_sequences, shape.table_width()));
  TUTTI_RETURN_IF_ERROR(adjusted_.allocate(rank, shape.max_adjusted, shape.vocab_size));
  TUTTI_TRY(last_tokens_,
            Tensor::empty(rank.device, DType::kI32, {shape.max_sequences}, "last tokens"));
  const std::vector<int32_t> zeros(usize(shape.max_sequences), 0);
  TUTTI_RETURN_IF_ERROR(rank.device.copy_from_host(
      last_tokens_.view().raw(), zeros.data(), last_tokens_.bytes(), rank.stream));
  TUTTI_TRY(Arena arena, Arena::create(rank.device, measure_arena(shape)));
  arena_.emplace(std::move(arena));
  return ok_status();
}

DeviceInputs RankWorker::lay_out(const StepPlan& plan) {
  DeviceInputs in = lay_out_inputs(*arena_, plan.rows, plan.table_width, shape_.block_size);
  in.step.attention.max_queries = plan.max_queries;
  in.step.attention.max_keys = plan.max_keys;
  in.step.total_keys = plan.total_keys;
  return in;
}

// The arena hands out the same addresses for the same sizes, so a recorded step finds its inputs
// where they were.
Result<DeviceInputs> RankWorker::upload(RankHandles& rank, const StepPlan& plan) {
  arena_->reset();
  TUTTI_RETURN_IF_ERROR(tables_.update(rank, *arena_, plan));
  TUTTI_RETURN_IF_ERROR(adjusted_.write(rank, plan));
  const DeviceInputs in = lay_out(plan);
  TUTTI_RETURN_IF_ERROR(rank.device.copy_from_host(
      in.packed.raw(), plan.inputs.data(), in.packed.bytes(), rank.stream));
  return in;
}

TensorView RankWorker::forward(const StepContext& ctx) const {
  return model_->logits(ctx, model_->forward(ctx, HiddenRows::kLogitRows));
}

TensorView RankWorker::forward(RankHandles& rank, const DeviceInputs& in) {
  rank.ops.fill_tokens(in.tokens, last_tokens_.view(), in.token_rows);
  rank.ops.gather_rows(in.block_table, tables_.columns(in.block_table.dim(1)), in.table_rows);
  return forward({{rank.ops, rank.parallel, *arena_, info_.kv.dtype}, *kv_, in.step});
}

Result<StepResult> RankWorker::sample(RankHandles& rank,
                                      const StepPlan& plan,
                                      const DeviceInputs& in,
                                      TensorView logits) {
  DeviceSampler sampler(
      rank,
      *arena_,
      {.size = info_.vocab_size, .limit = shape_.vocab_limit, .first_id = info_.logit_ids.begin},
      adjusted_.view());
  TUTTI_TRY(const StepResult out, sampler.sample(plan, logits));
  if (out.sampled.defined()) {
    rank.ops.scatter(last_tokens_.view(), out.sampled, in.sampled_rows);
  }
  return out;
}

Result<StepResult> RankWorker::run(RankHandles& rank, const StepPlan& plan) {
  const TraceScope trace("step", static_cast<long long>(plan.step));
  TUTTI_TRY(const DeviceInputs in, upload(rank, plan));
  if (!plan.recorded) {
    return sample(rank, plan, in, forward(rank, in));
  }
  const auto recorded = graphs_.find(plan.rows.sequences);
  if (recorded == graphs_.end()) {
    return error(
        StatusCode::kInternal, "no step of {} sequences was recorded", plan.rows.sequences);
  }
  const DecodeGraph& decode = recorded->second;
  TUTTI_RETURN_IF_ERROR(decode.graph->launch(rank.stream));
  arena_->resume(decode.used);
  return sample(rank, plan, in, decode.logits);
}

Status RankWorker::rehearse(RankHandles& rank, const StepPlan& plan) {
  NullCommunicator tp(rank_, ranks_);
  ParallelGroups parallel{
      .tp = tp, .dp = rank.parallel.dp, .ep = rank.parallel.ep, .pp = rank.parallel.pp};
  RankHandles alone{rank.rank, rank.device, rank.ops, parallel, rank.stream};
  TUTTI_TRY(const DeviceInputs in, upload(rank, plan));
  rank.ops.set_rehearsal(true);
  const Status status = sample(alone, plan, in, forward(alone, in)).status();
  rank.ops.set_rehearsal(false);
  TUTTI_RETURN_IF_ERROR(status);
  return rank.stream.synchronize();
}

Status RankWorker::record(RankHandles& rank, const StepPlan& plan) {
  TUTTI_RETURN_IF_ERROR(rank.stream.synchronize());
  arena_->reset();
  const DeviceInputs in = lay_out(plan);
  DecodeGraph& decode = graphs_[plan.rows.sequences];
  TUTTI_TRY(decode.graph, rank.device.record(rank.stream, [&] {
    decode.logits = forward(rank, in);
    decode.used = arena_->used();
    return ok_status();
  }));
  return ok_status();
}

Result<std::vector<OpTiming>> RankWorker::profile(RankHandles& rank, const StepPlan& plan) {
  AttentionWork work;
  const int64_t sequences = plan.rows.sequences;
  // The order of StepPlan::inputs.
  const int32_t* query_begin = plan.inputs.data() + 4 * plan.rows.tokens;
  const int32_t* context_before = query_begin + sequences + 1;
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t queries = query_begin[s + 1] - query_begin[s];
    work.keys += context_before[s] + queries;
    work.pairs += queries * context_before[s] + queries * (queries + 1) / 2;
  }
  OpTimer timer(rank);
  ObservedOps ops(rank.ops, timer, work);
  RankHandles observed{rank.rank, rank.device, ops, rank.parallel, rank.stream};
  for (int pass = 0; pass < kProfilePasses; ++pass) {
    TUTTI_TRY(const DeviceInputs in, upload(rank, plan));
    TUTTI_RETURN_IF_ERROR(timer.start_pass());
    TUTTI_RETURN_IF_ERROR(sample(observed, plan, in, forward(observed, in)).status());
    TUTTI_RETURN_IF_ERROR(timer.finish_pass());
  }
  return timer.timings();
}

int64_t RankWorker::weight_bytes() const {
  int64_t bytes = 0;
  for (const Param& p : registry_.params()) {
    bytes += p.bytes();
  }
  return bytes;
}

void RankWorker::add_format_bytes(std::map<std::string, int64_t>& formats) const {
  for (const Param& p : registry_.params()) {
    if (p.loaded()) {
      formats[p.layout().format->name] += p.bytes();
    }
  }
}

RankWorker::DecodeWeights RankWorker::decode_weights() const {
  const bool untied = std::any_of(registry_.params().begin(),
                                  registry_.params().end(),
                                  [](const Param& p) { return p.spec().name == "lm_head.weight"; });
  DecodeWeights out;
  for (const Param& p : registry_.params()) {
    if (p.loaded() && !(untied && p.spec().name == "model.embed_tokens.weight")) {
      const bool experts = p.spec().groups > 0;
      (experts ? out.expert_bytes : out.bytes) += p.bytes();
      (experts ? out.expert_elements : out.elements) += p.shape().numel();
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
