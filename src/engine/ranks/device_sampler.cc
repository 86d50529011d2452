#include "engine/ranks/device_sampler.h"

#include <vector>

#include "base/checked.h"
#include "nn/embedding.h"
#include "sched/sampling_params.h"

namespace tutti {

namespace {

static_assert(kMaxTopLogprobs <= kMostLogProbs);

// Log-probabilities are only allocated where they are wanted.
StepResult allocate_choice(Arena& arena, int64_t rows, bool log_probs) {
  StepResult out;
  out.sampled = arena.alloc(DType::kI32, {rows});
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

// Rows [begin, begin + count), or none where there are none at all.
template <class View>
View rows_of(View view, const RowShare& share) {
  return view.defined() && view.dim(0) > 0 ? view.slice(0, share.begin, share.count) : view;
}

}  // namespace

// All that the ways of sampling have in common, and the largest of what they have not: gathered
// logits are more than one rank's share of them, which comes with results of its own.
void DeviceSampler::measure(Arena& arena, const StepRows& rows, int64_t vocab_size, int ranks) {
  lay_out_sampling(arena, rows);
  allocate_choice(arena, rows.logits, /*log_probs=*/true);
  if (ranks > 1) {
    arena.alloc(DType::kF32, {rows.logits, vocab_size});
    allocate_choice(arena, rows.logits, /*log_probs=*/true);
  }
  allocate_adjusted(arena, rows.adjusted, vocab_size);
}

TensorView DeviceSampler::gather_all(TensorView part) {
  return gather_logits(
      {.group = rank_.parallel.tp, .arena = arena_, .part = part, .vocab_size = vocabulary_.size});
}

Result<DeviceSampling> DeviceSampler::upload(const StepPlan& plan) {
  const DeviceSampling sampling = lay_out_sampling(arena_, plan.rows);
  TUTTI_RETURN_IF_ERROR(rank_.device.copy_from_host(
      sampling.packed.raw(), plan.sampling.data(), sampling.packed.bytes(), rank_.stream));
  return sampling;
}

Result<StepResult> DeviceSampler::sample(const StepPlan& plan, TensorView part) {
  if (plan.host_chooses) {
    return StepResult{.logits = gather_all(part)};
  }
  StepResult out = allocate_choice(arena_, plan.rows.logits, plan.rows.log_probs > 0);
  if (plan.rows.greedy()) {
    sample_largest(out.sampled, part);
    return out;
  }
  TUTTI_TRY(const DeviceSampling sampling, upload(plan));
  if (plan.rows.adjusted == 0 && rank_.parallel.tp.size() > 1) {
    sample_by_rows(sampling, part, out);
    return out;
  }
  // Every rank draws from the same logits with the same numbers.
  out.logits = gather_all(part);
  sample_from(sampling, out.logits, out);
  return out;
}

void DeviceSampler::sample_largest(TensorView tokens, ConstTensorView part) {
  Communicator& group = rank_.parallel.tp;
  if (group.size() == 1) {
    rank_.ops.argmax(tokens, part, vocabulary_.limit);
    return;
  }
  const int64_t rows = part.dim(0);
  const TensorView mine = arena_.alloc(DType::kF32, {rows, 2});
  const TensorView all = arena_.alloc(DType::kF32, {rows, 2 * group.size()});
  rank_.ops.shard_argmax(
      {.best = mine, .logits = part, .first_id = vocabulary_.first_id, .limit = vocabulary_.limit});
  const std::vector<int64_t> widths(usize(group.size()), 2);
  group.all_gather_columns(all, mine, widths);
  rank_.ops.merge_argmax({.tokens = tokens, .best = all});
}

// Each rank samples for its share of the rows and tells the others.
void DeviceSampler::sample_by_rows(const DeviceSampling& sampling,
                                   TensorView part,
                                   const StepResult& out) {
  Communicator& group = rank_.parallel.tp;
  const RowShare share = row_share(part.dim(0), group.rank(), group.size());
  const StepResult mine = allocate_choice(arena_, share.count, out.log_probs.defined());
  const TensorView logits = arena_.alloc(DType::kF32, {share.count, vocabulary_.size});
  const std::vector<int64_t> widths = logit_widths(vocabulary_.size, group.size());
  group.exchange_rows({.out = logits, .in = part, .widths = widths});
  sample_from({.log_probs = rows_of(sampling.log_probs, share),
               .draws = rows_of(sampling.draws, share),
               .adjusted = sampling.adjusted,
               .adjusted_draws = sampling.adjusted_draws},
              logits,
              mine);
  gather_rows(out.sampled, mine.sampled);
  if (out.log_probs.defined()) {
    gather_rows(out.top_ids, mine.top_ids);
    gather_rows(out.log_probs, mine.log_probs);
  }
}

// Rows one after another, as one row of columns.
void DeviceSampler::gather_rows(TensorView all, ConstTensorView mine) {
  Communicator& group = rank_.parallel.tp;
  const int64_t rows = all.dim(0);
  const int64_t width = rows == 0 ? 0 : all.numel() / rows;
  std::vector<int64_t> widths;
  for (int r = 0; r < group.size(); ++r) {
    widths.push_back(row_share(rows, r, group.size()).count * width);
  }
  // Bits are moved as they are, so ids may pass for numbers.
  group.all_gather_columns({all.raw(), DType::kF32, {1, all.numel()}},
                           {mine.raw(), DType::kF32, {1, mine.numel()}},
                           widths);
}

void DeviceSampler::sample_from(const DeviceSampling& sampling,
                                ConstTensorView logits,
                                const StepResult& out) {
  if (sampling.draws.dim(0) > 0) {
    rank_.ops.draw(out.sampled, logits, vocabulary_.limit, sampling.draws);
  } else {
    rank_.ops.argmax(out.sampled, logits, vocabulary_.limit);
  }
  if (sampling.adjusted.dim(0) > 0) {
    sample_adjusted(sampling, {.logits = out.logits, .sampled = out.sampled});
  }
  if (out.log_probs.defined()) {
    rank_.ops.log_probs(
        out.top_ids, out.log_probs, out.sampled, logits, vocabulary_.limit, sampling.log_probs);
  }
}

void DeviceSampler::sample_adjusted(const DeviceSampling& sampling, const StepResult& out) {
  const int64_t limit = vocabulary_.limit;
  const Adjusted adjusted = allocate_adjusted(arena_, sampling.adjusted.dim(0), out.logits.dim(1));
  rank_.ops.adjust_logits(adjusted.logits, out.logits, limit, tables_, sampling.adjusted);
  rank_.ops.draw(adjusted.tokens, adjusted.logits, limit, sampling.adjusted_draws);
  rank_.ops.take_adjusted(out.sampled, tables_, adjusted.tokens, sampling.adjusted);
}

}  // namespace tutti
