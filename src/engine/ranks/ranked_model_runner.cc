#include "engine/ranks/ranked_model_runner.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <thread>

#include "base/checked.h"
#include "base/log.h"
#include "base/units.h"
#include "engine/ranks/load_check.h"
#include "engine/ranks/memory_rules.h"
#include "loader/checkpoint.h"

namespace tutti {

namespace {

constexpr int kMaxRanks = 64;
constexpr auto kProgressInterval = std::chrono::milliseconds(100);

/// The result of `work`, which allocates on the engine thread; kOutOfMemory where that failed.
template <class Work>
Status with_host_memory(const char* what, const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return error(StatusCode::kOutOfMemory, "out of host memory while {}", what);
  }
}

Status illegal_ranks(const HfConfig& config,
                     const ModelOptions& options,
                     int ranks,
                     const Status& why) {
  const std::vector<int> legal = legal_rank_counts(config, options, kMaxRanks);
  return invalid("‹tp› {}: {}: {}; legal for this model: {}",
                 ranks,
                 config.path,
                 why.message(),
                 fmt::join(legal, ", "));
}

}  // namespace

Result<std::unique_ptr<RankedModelRunner>> RankedModelRunner::load(Backend& backend,
                                                                   const ModelLoadOptions& wanted) {
  std::unique_ptr<RankedModelRunner> runner(new RankedModelRunner());
  ModelLoadOptions options = wanted;
  TUTTI_TRY(runner->config_, HfConfig::load(options.directory));
  const DType compute = options.compute.value_or(backend.default_compute());
  TUTTI_RETURN_IF_ERROR(backend.check_compute(compute));
  if (wanted.ranks == 0) {
    TUTTI_RETURN_IF_ERROR(runner->choose_ranks(backend, options));
  }
  TUTTI_RETURN_IF_ERROR(runner->declare(options, compute));
  if (wanted.ranks != 0) {  // behind declare(), which says why a number of ranks is illegal
    TUTTI_RETURN_IF_ERROR(runner->choose_ranks(backend, options));
  }
  std::unique_ptr<TensorSource> checkpoint;
  if (options.format == LoadFormat::kCheckpoint) {
    TUTTI_TRY(checkpoint, Checkpoint::open(options.directory));
  }
  runner->max_adjusted_ = backend.ranks_share_memory()
                              ? 0
                              : std::min(options.max_adjusted_rows, options.max_batch_sequences);
  TUTTI_TRY(const int64_t total, runner->plan(checkpoint.get(), backend, options));
  runner->shared_->tuning =
      std::make_unique<TuningCache>(options.cache_directory, backend.tuning_identity());
  TUTTI_TRY(runner->group_,
            RankGroup::start(backend,
                             {.request = {.ranks = options.ranks,
                                          .collective_timeout = options.collective_timeout,
                                          .tuning = runner->shared_->tuning.get()},
                              .step_timeout = options.step_timeout,
                              .stall = options.stall}));
  const StepShape shape = runner->step_shape(options);
  TUTTI_RETURN_IF_ERROR(runner->group_->run([&](RankHandles& rank) {
    return runner->shared_->workers[usize(rank.rank)]->check_supported(rank, shape);
  }));
  TUTTI_RETURN_IF_ERROR(runner->load_weights(checkpoint.get(), total, options));
  TUTTI_RETURN_IF_ERROR(runner->group_->run([&](RankHandles& rank) {
    return runner->shared_->workers[usize(rank.rank)]->allocate(rank, shape);
  }));
  TUTTI_RETURN_IF_ERROR(
      runner->prepare_steps(shape, !backend.ranks_share_memory(), options.record_steps));
  TUTTI_RETURN_IF_ERROR(runner->check_loaded(backend));
  return runner;
}

Status RankedModelRunner::prepare_steps(const StepShape& shape, bool devices_sample, bool record) {
  std::vector<char> records(usize(group_->size()));
  const Status prepared = group_->run([&](RankHandles& rank) -> Status {
    const RankWorker& worker = *shared_->workers[usize(rank.rank)];
    records[usize(rank.rank)] = rank.device.records_graphs() && worker.steady() ? 1 : 0;
    if (rank.rank == 0) {
      for (Pending& step : shared_->pending) {
        TUTTI_RETURN_IF_ERROR(step.sampled.allocate(rank.device, shape.max_sequences));
      }
    }
    return ok_status();
  });
  TUTTI_RETURN_IF_ERROR(prepared);
  const bool all_record =
      record && std::all_of(records.begin(), records.end(), [](char r) { return r == 1; });
  planner_.configure({.shape = shape,
                      .long_rope_from = shared_->workers.front()->info().long_rope_from,
                      .records = all_record,
                      .devices_sample = devices_sample});
  return devices_sample ? warm_up(shape, all_record) : ok_status();
}

StepShape RankedModelRunner::step_shape(const ModelLoadOptions& options) const {
  // A running sequence has at least one token in a step, and may want its logits.
  const int64_t sequences = std::min(options.max_batch_sequences, options.max_batch_tokens);
  return {.max_tokens = options.max_batch_tokens,
          .max_sequences = sequences,
          .max_logit_rows = std::max(options.max_logit_rows, sequences) + options.max_score_rows,
          .max_context = limits_.max_context,
          .block_size = options.block_size,
          .num_blocks = limits_.num_blocks,
          .max_adjusted = std::min(max_adjusted_, sequences),
          .vocab_size = limits_.vocab_size,
          .vocab_limit = options.vocab_limit > 0 ? std::min(options.vocab_limit, limits_.vocab_size)
                                                 : limits_.vocab_size,
          .long_ropes = shared_->workers.front()->info().long_rope_from > 0};
}

Status RankedModelRunner::check_loaded(Backend& backend) {
  TUTTI_RETURN_IF_ERROR(check_sums(*group_));
  if (backend.ranks_share_memory()) {
    return ok_status();
  }
  const std::vector<MemoryPool> now = backend.memory_pools(group_->size());
  TUTTI_CHECK_EQ(now.size(), pools_.size());
  std::vector<int64_t> held(usize(group_->size()));
  TUTTI_RETURN_IF_ERROR(group_->run([&](RankHandles& rank) {
    held[usize(rank.rank)] = rank.device.held_bytes();
    return ok_status();
  }));
  for (size_t p = 0; p < pools_.size(); ++p) {
    MemoryPlan& plan = pools_[p];
    plan.measured = plan.free - now[p].free;
    for (const int rank : now[p].ranks) {
      plan.held += held[usize(rank)];
    }
    log_info(
        "memory of {}: planned {} (weights {}, KV cache {}, activations {}, workspaces {}), took "
        "{}",
        plan.pool,
        format_bytes(plan.planned()),
        format_bytes(plan.weights),
        format_bytes(plan.kv),
        format_bytes(plan.activations),
        format_bytes(plan.overhead),
        format_bytes(plan.measured));
  }
  return check_shares(pools_);
}

RankedModelRunner::~RankedModelRunner() {
  // The threads use the workers, the workers' memory belongs to the group's devices.
  if (group_ && !group_->stop()) {
    // A rank never came back: it may still use all this, and freeing might wait for its device.
    static_cast<void>(shared_.release());
  }
  shared_.reset();
}

Status RankedModelRunner::choose_ranks(Backend& backend, ModelLoadOptions& options) {
  TUTTI_TRY(rank_choice_, backend.choose_ranks(options.ranks, [&] {
    return legal_rank_counts(config_, options.model, kMaxRanks);
  }));
  if (!rank_choice_.left_out.empty()) {
    log_info("{}", rank_choice_.left_out);
  }
  options.ranks = rank_choice_.ranks;
  return ok_status();
}

Status RankedModelRunner::declare(const ModelLoadOptions& options, DType compute) {
  if (options.ranks < 1 || options.ranks > kMaxRanks) {
    return invalid("‹tp› {}: wanted 1 to {}", options.ranks, kMaxRanks);
  }
  const int of = options.one_of > 0 ? options.one_of : options.ranks;
  for (int r = 0; r < options.ranks; ++r) {
    Result<std::unique_ptr<RankWorker>> worker =
        RankWorker::create(config_, options.model, r, of, compute);
    if (!worker.ok()) {
      // If one rank would be fine, the count is the problem: say which counts are legal.
      const bool alone = of > 1 && RankWorker::create(config_, options.model, 0, 1).ok();
      return alone ? illegal_ranks(config_, options.model, of, worker.status())
                   : std::move(worker).status();
    }
    shared_->workers.push_back(std::move(worker).value());
  }
  const CausalLmInfo& info = shared_->workers.front()->info();
  limits_.block_size = options.block_size;
  limits_.max_batch_tokens = options.max_batch_tokens;
  limits_.max_batch_sequences = options.max_batch_sequences;
  limits_.max_context = info.max_context;
  limits_.vocab_size = info.vocab_size;
  limits_.long_prompt_from = info.long_rope_from;
  limits_.max_score_rows = options.max_score_rows;
  if (options.context > info.max_context) {
    return invalid("‹context› {}: {} allows at most {} (max_position_embeddings)",
                   options.context,
                   config_.path,
                   info.max_context);
  }
  return ok_status();
}

Result<int64_t> RankedModelRunner::plan(const TensorSource* checkpoint,
                                        Backend& backend,
                                        const ModelLoadOptions& options) {
  const std::vector<MemoryPool> pools = backend.memory_pools(options.ranks);
  pools_.assign(pools.size(), {});
  int64_t reads = 0;
  StepShape shape = step_shape(options);
  shape.max_context = options.context > 0 ? options.context : limits_.max_context;
  for (size_t p = 0; p < pools.size(); ++p) {
    MemoryPlan& memory = pools_[p];
    memory.pool = pools[p].name;
    memory.ranks = narrow<int>(ssize(pools[p].ranks.size()));
    memory.free = pools[p].free;
    for (const int rank : pools[p].ranks) {
      TUTTI_TRY(const int64_t read, add_rank(checkpoint, rank, shape, options, memory));
      memory.overhead += backend.rank_overhead_bytes();
      reads += read;
    }
    const int64_t needed = memory.planned() + kReserveBytes;
    if (needed > memory.free) {
      return error(StatusCode::kOutOfMemory,
                   "{}: the weights need {}, activations and workspaces {} of {} ({} of {} ranks) "
                   "and {} is free; short by {}",
                   options.directory,
                   format_bytes(memory.weights),
                   format_bytes(needed - memory.weights),
                   memory.pool,
                   pools[p].ranks.size(),
                   options.ranks,
                   format_bytes(memory.free),
                   format_bytes(needed - memory.free));
    }
  }
  TUTTI_RETURN_IF_ERROR(size_kv(pools, backend.ranks_share_memory(), options));
  return reads;
}

Result<int64_t> RankedModelRunner::add_rank(const TensorSource* checkpoint,
                                            int rank,
                                            const StepShape& shape,
                                            const ModelLoadOptions& options,
                                            MemoryPlan& memory) {
  RankWorker& worker = *shared_->workers[usize(rank)];
  TUTTI_TRY(LoadPlan plan, worker.plan(checkpoint, config_.quant, options.dummy_dtype));
  if (rank == 0 && !plan.unexpected.empty()) {
    log_warn("{}: {} tensors of the checkpoint are not used by {}, for example {}",
             options.directory,
             plan.unexpected.size(),
             config_.architecture,
             plan.unexpected.front());
  }
  memory.weights += plan.weight_bytes;
  memory.activations += worker.measure_arena(shape) + RankWorker::table_bytes(shape);
  return plan.read_bytes;
}

Status RankedModelRunner::size_kv(const std::vector<MemoryPool>& pools,
                                  bool shared,
                                  const ModelLoadOptions& options) {
  const int64_t wanted_context = options.context > 0 ? options.context : limits_.max_context;
  limits_.num_blocks = INT32_MAX / options.block_size;
  std::vector<int64_t> block_bytes(pools.size());
  int64_t tightest_budget = 0;  // bytes for blocks in the pool that limits their number
  for (size_t p = 0; p < pools.size(); ++p) {
    int64_t token_bytes = 0;
    for (const int rank : pools[p].ranks) {
      token_bytes += shared_->workers[usize(rank)]->info().kv.bytes_per_token();
    }
    // No real model comes near; beyond it the products below would leave 64 bits.
    constexpr int64_t kMaxTokenBytes = int64_t{1} << 32;
    if (token_bytes > kMaxTokenBytes) {
      return error(StatusCode::kOutOfMemory,
                   "{}: one token needs {} of KV cache; are the dimensions right?",
                   config_.path,
                   format_bytes(token_bytes));
    }
    const int64_t available = pools_[p].free - pools_[p].planned() - kReserveBytes;
    block_bytes[p] = token_bytes * options.block_size;
    int64_t budget = options.kv_memory;
    if (budget == 0) {
      budget = chosen_kv_bytes(
          {.available = available,
           .shared = shared,
           .sequence = ceil_div(wanted_context, options.block_size) * block_bytes[p],
           .max_sequences = options.max_batch_sequences});
    } else if (budget > available) {
      return error(StatusCode::kOutOfMemory,
                   "‹kv_memory› {}: only {} of {} is free beside the weights",
                   format_bytes(budget),
                   format_bytes(available),
                   pools_[p].pool);
    }
    if (p == 0 || budget / block_bytes[p] < limits_.num_blocks) {
      limits_.num_blocks = std::min(limits_.num_blocks, budget / block_bytes[p]);
      tightest_ = p;
      tightest_budget = budget;
    }
  }
  for (size_t p = 0; p < pools_.size(); ++p) {
    pools_[p].kv = limits_.num_blocks * block_bytes[p];
  }
  const int64_t tokens = limits_.num_blocks * options.block_size;
  if (tokens < (options.context > 0 ? options.context
                                    : std::min<int64_t>(wanted_context, options.block_size))) {
    return error(
        StatusCode::kOutOfMemory,
        "a context of {} tokens needs {} of KV cache, {} of {} is available; use a "
        "smaller ‹context› or a larger ‹kv_memory›",
        wanted_context,
        format_bytes(ceil_div(wanted_context, options.block_size) * block_bytes[tightest_]),
        format_bytes(tightest_budget),
        memory().pool);
  }
  limits_.max_context = std::min(wanted_context, tokens);
  if (limits_.max_context < wanted_context) {
    log_warn("the context is limited to {} of {} tokens: the KV cache has {}",
             limits_.max_context,
             wanted_context,
             format_bytes(memory().kv));
  }
  return ok_status();
}

Status RankedModelRunner::load_weights(const TensorSource* checkpoint,
                                       int64_t total,
                                       const ModelLoadOptions& options) {
  std::atomic<int64_t> done{0};
  std::jthread reporter;
  if (options.progress && checkpoint != nullptr) {
    reporter = std::jthread([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        options.progress({done.load(std::memory_order_relaxed), total});
        std::this_thread::sleep_for(kProgressInterval);
      }
    });
  }
  const int threads = upload_threads(options.ranks);
  const auto start = std::chrono::steady_clock::now();
  const Status status = group_->run([&](RankHandles& rank) {
    RankWorker& worker = *shared_->workers[usize(rank.rank)];
    return checkpoint != nullptr
               ? worker.load(rank, *checkpoint, config_.quant, threads, done)
               : worker.load_dummy(rank, config_.quant, options.dummy_dtype, threads);
  });
  load_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (reporter.joinable()) {
    reporter.request_stop();
    reporter.join();
  }
  TUTTI_RETURN_IF_ERROR(status);
  if (options.progress && checkpoint != nullptr) {
    options.progress({total, total});
  }
  const int64_t bytes = checkpoint != nullptr ? total : weight_bytes();
  log_info("weights: {} {} in {}, {:.1f} GB/s, {} thread(s) per rank",
           format_bytes(bytes),
           checkpoint != nullptr ? "read" : "made up",
           format_seconds(load_seconds_),
           static_cast<double>(bytes) / load_seconds_ / 1e9,
           threads);
  std::map<std::string, int64_t> formats;
  for (const auto& worker : shared_->workers) {
    worker->add_format_bytes(formats);
  }
  std::vector<std::string> sizes;
  for (const auto& [format, size] : formats) {
    sizes.push_back(fmt::format("{} {}", format, format_bytes(size)));
  }
  log_info("weights in memory: {}", fmt::join(sizes, ", "));
  return ok_status();
}

Status RankedModelRunner::Shared::run_step(RankHandles& rank, uint64_t number) {
  Pending& step = pending[number % kMaxPending];
  TUTTI_TRY(const StepResult result, workers[usize(rank.rank)]->run(rank, step.plan));
  if (rank.rank != 0) {
    return ok_status();
  }
  if (!step.plan.host_chooses) {
    return step.sampled.fetch(rank, result);
  }
  logits.resize(usize(result.logits.numel()));
  TUTTI_RETURN_IF_ERROR(rank.device.copy_to_host(
      logits.data(), result.logits.raw(), result.logits.bytes(), rank.stream));
  return rank.stream.synchronize();
}

Status RankedModelRunner::submit(const Batch& batch) {
  waited_seconds_ = 0;
  TUTTI_CHECK_LT(submitted_ - collected_, kMaxPending);
  Pending& step = shared_->pending[submitted_ % kMaxPending];
  step.batch = &batch;
  step.output.clear(batch.step);
  const auto finish_earlier = [this] {
    const auto start = std::chrono::steady_clock::now();
    const Status finished = finish_before(submitted_);
    waited_seconds_ +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return finished;
  };
  // No rank has seen a step that fails here, and what the planner knows of its sequences is
  // replaced when their slots have new ones.
  TUTTI_RETURN_IF_ERROR(with_host_memory("a step was planned", [&] {
    return planner_.plan(batch, finish_earlier, step.plan, step.rows);
  }));
  const Status status =
      group_->submit([shared = shared_.get(), number = submitted_](
                         RankHandles& rank) { return shared->run_step(rank, number); },
                     OnFailure::kLosesJob);
  submitted_ += status.ok() ? 1 : 0;
  return status;
}

Status RankedModelRunner::finish_before(uint64_t number) {
  while (finished_ < number) {
    Pending& step = shared_->pending[finished_++ % kMaxPending];
    step.status = with_host_memory("the tokens of a step were read", [&] { return finish(step); });
    if (step.status.code() == StatusCode::kDevice) {
      return step.status;
    }
  }
  return ok_status();
}

Status RankedModelRunner::finish(Pending& step) {
  const Status ran = group_->wait();
  if (group_->broken()) {
    return {StatusCode::kDevice,
            ran.message()};  // whatever it was, the ranks are no longer together
  }
  TUTTI_RETURN_IF_ERROR(ran);
  TokenSampler& sampler = planner_.sampler();
  if (step.plan.host_chooses) {
    sampler.sample_on_host(*step.batch, shared_->logits, step.output);
    return ok_status();
  }
  TUTTI_RETURN_IF_ERROR(step.sampled.read(step.rows, step.output));
  TUTTI_RETURN_IF_ERROR(group_->health());
  for (size_t r = 0; r < step.rows.size(); ++r) {
    sampler.took(step.rows[r], step.sampled.token(r));
  }
  return ok_status();
}

Status RankedModelRunner::collect(StepOutput& output) {
  TUTTI_CHECK_LT(collected_, submitted_);
  Pending& step = shared_->pending[collected_++ % kMaxPending];
  if (finished_ < collected_) {
    static_cast<void>(
        finish_before(collected_));  // in step.status; older ones are finished already
  }
  std::swap(output, step.output);
  return step.status;
}

Result<std::vector<float>> RankedModelRunner::logits(const Batch& batch,
                                                     const std::vector<int32_t>& rows) {
  TUTTI_CHECK_EQ(submitted_, collected_);
  StepPlan plan;
  planner_.plan_logits(batch, rows, plan);
  std::vector<float> out(rows.size() * usize(limits_.vocab_size));
  const Status status = group_->run([&](RankHandles& rank) -> Status {
    TUTTI_TRY(const StepResult result, shared_->workers[usize(rank.rank)]->run(rank, plan));
    if (rank.rank != 0) {
      return ok_status();
    }
    const TensorView view = result.logits;
    TUTTI_RETURN_IF_ERROR(
        rank.device.copy_to_host(out.data(), view.raw(), view.bytes(), rank.stream));
    return rank.stream.synchronize();
  });
  TUTTI_RETURN_IF_ERROR(status);
  TUTTI_RETURN_IF_ERROR(group_->health());
  return out;
}

Result<std::vector<OpTiming>> RankedModelRunner::profile(const Batch& batch) {
  TUTTI_CHECK_EQ(submitted_, collected_);
  StepPlan plan;
  planner_.plan_logits(batch, {}, plan);
  std::vector<OpTiming> out;
  const Status status = group_->run([&](RankHandles& rank) -> Status {
    TUTTI_TRY(std::vector<OpTiming> timings,
              shared_->workers[usize(rank.rank)]->profile(rank, plan));
    if (rank.rank == 0) {
      out = std::move(timings);
    }
    return ok_status();
  });
  TUTTI_RETURN_IF_ERROR(status);
  return out;
}

int64_t RankedModelRunner::weight_bytes() const {
  int64_t bytes = 0;
  for (const auto& worker : shared_->workers) {
    bytes += worker->weight_bytes();
  }
  return bytes;
}

int64_t RankedModelRunner::kv_bytes_per_token() const {
  int64_t bytes = 0;
  for (const auto& worker : shared_->workers) {
    bytes += worker->info().kv.bytes_per_token();
  }
  return bytes;
}

RankWorker::DecodeWeights RankedModelRunner::decode_weights() const {
  RankWorker::DecodeWeights all;
  for (const auto& worker : shared_->workers) {
    const RankWorker::DecodeWeights one = worker->decode_weights();
    all.bytes += one.bytes;
    all.elements += one.elements;
    all.expert_bytes += one.expert_bytes;
    all.expert_elements += one.expert_elements;
  }
  return all;
}

std::vector<int64_t> RankedModelRunner::read_bytes() const {
  std::vector<int64_t> bytes;
  for (const auto& worker : shared_->workers) {
    bytes.push_back(worker->read_bytes());
  }
  return bytes;
}

}  // namespace tutti
