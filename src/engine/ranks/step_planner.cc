#include "engine/ranks/step_planner.h"

#include <algorithm>

#include "base/checked.h"

namespace tutti {

void StepPlanner::configure(const PlannerConfig& config) {
  config_ = config;
  const int64_t slots = config.shape.max_sequences;
  tables_.assign(usize(slots), {});
  sizes_ = padded_sizes(slots);
  sampler_.configure(config.shape, config.devices_sample);
}

Status StepPlanner::plan(const Batch& batch,
                         const std::function<Status()>& finish_earlier,
                         StepPlan& plan,
                         std::vector<SampledRow>& rows) {
  plan.clear(batch.step);
  if (sampler_.host_sampled_last()) {
    TUTTI_RETURN_IF_ERROR(finish_earlier());
  }
  const bool host_sampled = sampler_.host_sampled_last();
  sampler_.join(batch);
  update_tables(batch, plan);
  if (sampler_.needs_tokens(batch)) {
    TUTTI_RETURN_IF_ERROR(finish_earlier());
  }
  fill(batch, {}, plan);
  if (host_sampled) {
    // The devices do not know these.
    for (size_t i = 0; i < words_.tokens.size(); ++i) {
      if (words_.tokens[i] == kSampledToken) {
        words_.tokens[i] = sampler_.host_token(words_.token_rows[i]);
      }
    }
  }
  sampler_.plan_step(batch, plan, rows);
  const int64_t size = plan.host_chooses ? 0 : padded(batch);
  if (size > 0) {
    pad(size, plan);
  }
  pack(plan);
  return ok_status();
}

void StepPlanner::plan_logits(const Batch& batch,
                              std::span<const int32_t> logit_rows,
                              StepPlan& plan) {
  plan.clear(batch.step);
  update_tables(batch, plan);
  fill(batch, logit_rows, plan);
  plan.host_chooses = !logit_rows.empty();
  sampler_.plan_greedy(plan);
  pack(plan);
}

void StepPlanner::plan_padding(int64_t sequences, int64_t tokens, StepPlan& plan) {
  plan.clear(0);
  fill(Batch(), {}, plan);
  sampler_.plan_greedy(plan);
  if (tokens == 1) {
    pad(sequences, plan);
  } else {
    for (int64_t s = 0; s < sequences; ++s) {
      for (int64_t i = 0; i < tokens; ++i) {
        words_.tokens.push_back(0);
        words_.token_rows.push_back(0);
        words_.positions.push_back(narrow<int32_t>(i));
        words_.kv_places.push_back(-1);
      }
      words_.query_begin.push_back(narrow<int32_t>((s + 1) * tokens));
      words_.context_before.push_back(0);
      words_.key_begin.push_back(narrow<int32_t>((s + 1) * tokens));
      words_.table_rows.push_back(0);
      words_.logit_rows.push_back(narrow<int32_t>((s + 1) * tokens - 1));
      words_.sampled_rows.push_back(-1);
    }
    if (config_.long_rope_from > 0) {
      words_.long_rope.assign(words_.tokens.size(), 0);
    }
    sampler_.plan_everything(sequences, plan);
    plan.max_queries = tokens;
    plan.max_keys = tokens;
    plan.table_width = std::max<int64_t>(1, ceil_div(tokens, config_.shape.block_size));
  }
  pack(plan);
}

void StepPlanner::update_tables(const Batch& batch, StepPlan& plan) {
  const int64_t width = config_.shape.table_width();
  for (const BatchJoin& join : batch.joins) {
    tables_[usize(join.slot)].clear();
  }
  for (const BlockUpdate& update : batch.block_updates) {
    std::vector<int32_t>& table = tables_[usize(update.slot)];
    const int64_t end = int64_t{update.first} + update.count;
    TUTTI_CHECK_LE(end, width);
    table.resize(std::max(table.size(), usize(end)));
    std::copy_n(batch.blocks.begin() + update.begin, update.count, table.begin() + update.first);
    for (int32_t i = 0; i < update.count; ++i) {
      plan.table_places.push_back(narrow<int32_t>(update.slot * width + update.first + i));
      plan.table_blocks.push_back(batch.blocks[usize(update.begin + i)]);
    }
  }
}

void StepPlanner::fill_long_rope(const Batch& batch) {
  words_.long_rope.clear();
  if (config_.long_rope_from == 0) {
    return;
  }
  for (const BatchSequence& s : batch.sequences) {
    for (int64_t i = 0; i < s.token_count; ++i) {
      const int64_t length = std::max(s.prompt_tokens, s.context_before + i + 1);
      words_.long_rope.push_back(length > config_.long_rope_from ? 1 : 0);
    }
  }
}

void StepPlanner::fill(const Batch& batch, std::span<const int32_t> logit_rows, StepPlan& plan) {
  TUTTI_CHECK_EQ(batch.position_axes, 1);
  const int64_t block_size = config_.shape.block_size;
  Words& out = words_;
  out.tokens = batch.tokens;
  out.positions = batch.positions;
  out.token_rows.resize(batch.tokens.size());
  out.kv_places.resize(batch.tokens.size());
  out.query_begin.assign(1, 0);
  out.key_begin.assign(1, 0);
  out.context_before.clear();
  out.table_rows.clear();
  out.logit_rows.assign(logit_rows.begin(), logit_rows.end());
  out.sampled_rows.assign(logit_rows.size(), -1);
  size_t token = 0;
  for (const BatchSequence& s : batch.sequences) {
    const std::span<const int32_t> blocks = tables_[usize(s.slot)];
    const int64_t end = s.context_before + s.token_count;
    TUTTI_CHECK_EQ(s.token_begin, ssize(token));
    TUTTI_CHECK_LE(ceil_div(end, block_size), ssize(blocks.size()));
    plan.max_queries = std::max(plan.max_queries, s.token_count);
    plan.max_keys = std::max(plan.max_keys, end);
    for (int64_t p = s.context_before; p < end; ++p, ++token) {
      out.kv_places[token] =
          static_cast<int32_t>(blocks[usize(p / block_size)] * block_size + p % block_size);
      out.token_rows[token] = s.slot;
    }
    out.query_begin.push_back(narrow<int32_t>(ssize(token)));
    out.context_before.push_back(narrow<int32_t>(s.context_before));
    out.key_begin.push_back(narrow<int32_t>(out.key_begin.back() + end));
    out.table_rows.push_back(s.slot);
    const ScoreRange scores = batch.scores_of(s);
    for (int64_t i = 0; logit_rows.empty() && i < scores.count; ++i) {
      out.logit_rows.push_back(narrow<int32_t>(s.token_begin + scores.begin + i));
      out.sampled_rows.push_back(-1);
    }
    if (logit_rows.empty() && s.sample) {
      out.logit_rows.push_back(narrow<int32_t>(ssize(token) - 1));
      out.sampled_rows.push_back(s.slot);
    }
  }
  TUTTI_CHECK_EQ(token, batch.tokens.size());
  fill_long_rope(batch);
  plan.table_width = std::max<int64_t>(1, ceil_div(plan.max_keys, block_size));
}

int64_t StepPlanner::padded(const Batch& batch) const {
  const bool decodes =
      config_.records && !batch.sequences.empty() &&
      std::all_of(batch.sequences.begin(), batch.sequences.end(), [](const BatchSequence& s) {
        return s.sample && s.token_count == 1;
      });
  return decodes ? *std::lower_bound(sizes_.begin(), sizes_.end(), ssize(batch.sequences.size()))
                 : 0;
}

// What a recorded step holds fast is independent of the lengths: the block table has its full
// width, and the kernels read lengths from memory.
void StepPlanner::pad(int64_t sequences, StepPlan& plan) {
  Words& out = words_;
  for (int64_t i = ssize(out.context_before.size()); i < sequences; ++i) {
    out.tokens.push_back(0);
    out.token_rows.push_back(0);
    out.positions.push_back(0);
    out.kv_places.push_back(-1);
    out.query_begin.push_back(narrow<int32_t>(i + 1));
    out.context_before.push_back(0);
    out.key_begin.push_back(out.key_begin.back() + 1);
    out.table_rows.push_back(0);
    out.logit_rows.push_back(narrow<int32_t>(i));
    out.sampled_rows.push_back(-1);
    if (config_.long_rope_from > 0) {
      out.long_rope.push_back(0);
    }
  }
  plan.recorded = config_.records;
  plan.max_queries = 1;
  plan.table_width = config_.shape.table_width();
  plan.max_keys = plan.table_width * config_.shape.block_size;
}

void StepPlanner::pack(StepPlan& plan) {
  const Words& w = words_;
  plan.rows.tokens = ssize(w.tokens.size());
  plan.rows.sequences = ssize(w.context_before.size());
  plan.rows.logits = ssize(w.logit_rows.size());
  plan.rows.ropes = ssize(w.long_rope.size());
  plan.total_keys = w.key_begin.back();
  for (const std::vector<int32_t>* part : {&w.tokens,
                                           &w.token_rows,
                                           &w.positions,
                                           &w.kv_places,
                                           &w.query_begin,
                                           &w.context_before,
                                           &w.key_begin,
                                           &w.table_rows,
                                           &w.logit_rows,
                                           &w.sampled_rows}) {
    plan.inputs.insert(plan.inputs.end(), part->begin(), part->end());
  }
  // A token's row of the two rotary tables laid one after the other.
  const auto tokens = narrow<int32_t>(plan.rows.tokens);
  for (int32_t i = 0; i < narrow<int32_t>(plan.rows.ropes); ++i) {
    plan.inputs.push_back(i + (w.long_rope[usize(i)] != 0 ? tokens : 0));
  }
  sampler_.pack(plan);
}

}  // namespace tutti
