#include "engine/ranks/rank_worker.h"

#include <algorithm>

#include "comm/null_communicator.h"
#include "comm/self_communicator.h"
#include "ops/null_ops.h"

namespace tutti {

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
  const auto ints = [&arena](const Shape& s) {
    return ConstTensorView(arena.alloc(DType::kI32, s));
  };
  StepInputs in;
  in.tokens = ints({shape.max_tokens});
  in.positions = ints({shape.max_tokens});
  in.slots = ints({shape.max_tokens});
  if (info_.long_rope_from > 0) {
    in.rope_rows = ints({shape.max_tokens});
  }
  in.attention.query_begin = ints({shape.max_sequences + 1});
  in.attention.context_before = ints({shape.max_sequences});
  in.attention.block_table =
      ints({shape.max_sequences, ceil_div(shape.max_context, shape.block_size)});
  in.attention.block_size = shape.block_size;
  in.attention.max_queries = shape.max_tokens;
  in.attention.max_keys = shape.max_context;
  in.key_begin = ints({shape.max_sequences + 1});
  in.total_keys = shape.max_context;
  in.logit_rows = ints({shape.max_logit_rows});
  const KvCache kv = KvCache::measuring(info_.kv, 1, shape.block_size);
  const StepContext ctx{ops, parallel, arena, kv, in, info_.kv.dtype};
  const TensorView logits = model_->forward(ctx);
  ints({logits.dim(0)});  // of argmax()
  return arena.peak();
}

Status RankWorker::load(RankContext& rank,
                        const Checkpoint& checkpoint,
                        const QuantConfig& quant,
                        std::atomic<int64_t>& done) {
  WeightLoader loader(registry_, &checkpoint, quant);
  const Status status = loader.load(rank.device, [this, &done](int64_t bytes) {
    done.fetch_add(bytes - read_bytes_, std::memory_order_relaxed);
    read_bytes_ = bytes;
  });
  done.fetch_add(loader.read_bytes() - read_bytes_, std::memory_order_relaxed);
  read_bytes_ = loader.read_bytes();
  return status;
}

Status RankWorker::load_dummy(RankContext& rank, DType dtype) {
  return WeightLoader(registry_, nullptr, {})
      .load_dummy(rank.device, dtype, static_cast<uint64_t>(rank_) + 1);
}

Status RankWorker::allocate(RankContext& rank, int64_t num_blocks, const StepShape& shape) {
  TUTTI_TRY(KvCache cache, KvCache::create(rank.device, info().kv, num_blocks, shape.block_size));
  kv_.emplace(std::move(cache));
  TUTTI_TRY(Arena arena, Arena::create(rank.device, measure_arena(shape)));
  arena_.emplace(std::move(arena));
  return ok_status();
}

Result<TensorView> RankWorker::forward(RankContext& rank,
                                       const Batch& batch,
                                       const std::vector<int32_t>& rows,
                                       std::span<const int32_t> sampled) {
  inputs_.logit_rows = rows;
  return run(rank, batch, sampled);
}

Result<TensorView> RankWorker::forward(RankContext& rank,
                                       const Batch& batch,
                                       std::span<const int32_t> sampled) {
  inputs_.logit_rows.clear();
  for (const BatchSequence& s : batch.sequences) {
    const ScoreRange scores = batch.scores_of(s);
    for (int64_t i = 0; i < scores.count; ++i) {
      inputs_.logit_rows.push_back(narrow<int32_t>(s.token_begin + scores.begin + i));
    }
    if (s.sample) {
      inputs_.logit_rows.push_back(narrow<int32_t>(s.token_begin + s.token_count - 1));
    }
  }
  return run(rank, batch, sampled);
}

Result<TensorView> RankWorker::run(RankContext& rank,
                                   const Batch& batch,
                                   std::span<const int32_t> sampled) {
  const TraceScope trace("step", static_cast<long long>(batch.step));
  arena_->reset();
  tables_.update(batch);
  fill_host_inputs(batch, tables_, sampled, kv_->block_size(), info_.long_rope_from, inputs_);
  TUTTI_TRY(const StepInputs in,
            make_step_inputs(rank, *arena_, batch, inputs_, kv_->block_size()));
  const StepContext ctx{rank.ops, rank.parallel, *arena_, *kv_, in, info_.kv.dtype};
  return model_->forward(ctx);
}

TensorView RankWorker::argmax(RankContext& rank, ConstTensorView logits, int64_t limit) {
  const TensorView tokens = arena_->alloc(DType::kI32, {logits.dim(0)});
  rank.ops.argmax(tokens, logits, limit);
  return tokens;
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
