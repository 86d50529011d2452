#include "engine/ranks/rank_inputs.h"

#include <algorithm>
#include <cstring>

namespace tutti {

namespace {

constexpr int64_t kDrawWords = sizeof(DrawParams) / sizeof(int32_t);
constexpr int64_t kAdjustWords = sizeof(AdjustParams) / sizeof(int32_t);
constexpr int64_t kUpdateChunk = 4096;  // changed entries of block tables uploaded at once

void fill_long_rope(const Batch& batch, int64_t long_rope_from, std::vector<int32_t>& flags) {
  flags.clear();
  if (long_rope_from == 0) {
    return;
  }
  for (const BatchSequence& s : batch.sequences) {
    for (int64_t i = 0; i < s.token_count; ++i) {
      const int64_t length = std::max(s.prompt_tokens, s.context_before + i + 1);
      flags.push_back(length > long_rope_from ? 1 : 0);
    }
  }
}

/// Of structs that are i32 and f32 throughout.
template <class T>
void append_words(const std::vector<T>& from, std::vector<int32_t>& to) {
  const size_t words = to.size();
  to.resize(words + from.size() * sizeof(T) / sizeof(int32_t));
  if (!from.empty()) {
    std::memcpy(to.data() + words, from.data(), from.size() * sizeof(T));
  }
}

}  // namespace

int64_t BlockTables::device_bytes(int64_t slots, int64_t width) {
  return slots * width * dtype_size(DType::kI32);
}

void BlockTables::borrow(Arena& arena) {
  const Arena::Scope lent(arena);
  arena.alloc(DType::kI32, {2 * kUpdateChunk});
}

Status BlockTables::allocate(RankContext& rank, int64_t slots, int64_t width) {
  tables_.resize(usize(slots));
  TUTTI_TRY(device_, Tensor::empty(rank.device, DType::kI32, {slots, width}, "block tables"));
  const std::vector<int32_t> zeros(usize(slots * width), 0);
  return rank.device.copy_from_host(
      device_.view().raw(), zeros.data(), device_bytes(slots, width), rank.stream);
}

Status BlockTables::update(RankContext& rank, Arena& arena, const Batch& batch) {
  for (const BatchJoin& join : batch.joins) {
    tables_[usize(join.slot)].clear();
  }
  for (const BlockUpdate& update : batch.block_updates) {
    std::vector<int32_t>& table = tables_[usize(update.slot)];
    const int64_t end = int64_t{update.first} + update.count;
    TUTTI_CHECK_LE(end, width());
    table.resize(std::max(table.size(), usize(end)));
    std::copy_n(batch.blocks.begin() + update.begin, update.count, table.begin() + update.first);
    for (int32_t i = 0; i < update.count; ++i) {
      places_.push_back(narrow<int32_t>(update.slot * width() + update.first + i));
      blocks_.push_back(batch.blocks[usize(update.begin + i)]);
      if (ssize(places_.size()) == kUpdateChunk) {
        TUTTI_RETURN_IF_ERROR(upload(rank, arena));
      }
    }
  }
  return places_.empty() ? ok_status() : upload(rank, arena);
}

Status BlockTables::upload(RankContext& rank, Arena& arena) {
  // The stream's order keeps the memory until it has been read.
  const Arena::Scope lent(arena);
  const int64_t count = ssize(places_.size());
  const TensorView both = arena.alloc(DType::kI32, {2 * count});
  places_.insert(places_.end(), blocks_.begin(), blocks_.end());
  TUTTI_RETURN_IF_ERROR(
      rank.device.copy_from_host(both.raw(), places_.data(), both.bytes(), rank.stream));
  rank.ops.scatter(device_.view().reshape({device_.shape().numel()}),
                   both.slice(0, count, count),
                   both.slice(0, 0, count));
  places_.clear();
  blocks_.clear();
  return ok_status();
}

StepRows HostInputs::rows() const {
  return {.tokens = ssize(tokens.size()),
          .sequences = ssize(context_before.size()),
          .logits = ssize(logit_rows.size()),
          .draws = ssize(draws.size()),
          .log_probs = ssize(log_probs.size()),
          .adjusted = ssize(adjusted.size()),
          .ropes = ssize(long_rope.size())};
}

void fill_host_inputs(const Batch& batch,
                      const BlockTables& tables,
                      std::span<const int32_t> logit_rows,
                      int64_t block_size,
                      int64_t long_rope_from,
                      HostInputs& out) {
  TUTTI_CHECK_EQ(batch.position_axes, 1);
  out.max_queries = 0;
  out.max_keys = 0;
  out.tokens = batch.tokens;
  out.positions = batch.positions;
  out.token_rows.resize(batch.tokens.size());
  out.slots.resize(batch.tokens.size());
  out.query_begin.assign(1, 0);
  out.key_begin.assign(1, 0);
  out.context_before.clear();
  out.table_rows.clear();
  out.logit_rows.assign(logit_rows.begin(), logit_rows.end());
  out.sampled_rows.assign(logit_rows.size(), -1);
  out.draws.clear();
  out.log_probs.clear();
  out.adjusted.clear();
  out.adjusted_draws.clear();
  size_t token = 0;
  for (const BatchSequence& s : batch.sequences) {
    const std::span<const int32_t> blocks = tables.of(s.slot);
    const int64_t end = s.context_before + s.token_count;
    TUTTI_CHECK_EQ(s.token_begin, ssize(token));
    TUTTI_CHECK_LE(ceil_div(end, block_size), ssize(blocks.size()));
    out.max_queries = std::max(out.max_queries, s.token_count);
    out.max_keys = std::max(out.max_keys, end);
    for (int64_t p = s.context_before; p < end; ++p, ++token) {
      out.slots[token] =
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
  fill_long_rope(batch, long_rope_from, out.long_rope);
}

void pad_host_inputs(int64_t sequences, HostInputs& out) {
  for (int64_t i = out.rows().sequences; i < sequences; ++i) {
    out.tokens.push_back(0);
    out.token_rows.push_back(0);
    out.positions.push_back(0);
    out.slots.push_back(-1);
    out.query_begin.push_back(narrow<int32_t>(i + 1));
    out.context_before.push_back(0);
    out.key_begin.push_back(out.key_begin.back() + 1);
    out.table_rows.push_back(0);
    out.logit_rows.push_back(narrow<int32_t>(i));
    out.sampled_rows.push_back(-1);
    if (!out.draws.empty()) {
      out.draws.emplace_back();
    }
    if (!out.log_probs.empty()) {
      out.log_probs.push_back(-1);
    }
    if (!out.long_rope.empty()) {
      out.long_rope.push_back(0);
    }
  }
}

DeviceInputs lay_out_inputs(Arena& arena,
                            const StepRows& rows,
                            int64_t table_width,
                            int64_t block_size) {
  DeviceInputs out;
  out.packed = arena.alloc(
      DType::kI32,
      {4 * rows.tokens + 4 * rows.sequences + 2 + 2 * rows.logits + rows.ropes + rows.log_probs +
       kDrawWords * rows.draws + (kAdjustWords + kDrawWords) * rows.adjusted});
  int64_t used = 0;
  const auto next = [&](int64_t count) {
    const TensorView view = out.packed.slice(0, used, count);
    used += count;
    return view;
  };
  // The order of upload_inputs.
  out.tokens = next(rows.tokens);
  out.token_rows = next(rows.tokens);
  out.step.positions = next(rows.tokens);
  out.step.slots = next(rows.tokens);
  out.step.attention.query_begin = next(rows.sequences + 1);
  out.step.attention.context_before = next(rows.sequences);
  out.step.key_begin = next(rows.sequences + 1);
  out.table_rows = next(rows.sequences);
  out.step.logit_rows = next(rows.logits);
  out.sampled_rows = next(rows.logits);
  if (rows.ropes > 0) {
    out.step.rope_rows = next(rows.ropes);
  }
  out.log_probs = next(rows.log_probs);
  out.draws = next(kDrawWords * rows.draws).reshape({rows.draws, kDrawWords});
  out.adjusted = next(kAdjustWords * rows.adjusted).reshape({rows.adjusted, kAdjustWords});
  out.adjusted_draws = next(kDrawWords * rows.adjusted).reshape({rows.adjusted, kDrawWords});
  TUTTI_CHECK_EQ(used, out.packed.dim(0));
  out.block_table = arena.alloc(DType::kI32, {rows.sequences, table_width});
  out.step.tokens = out.tokens;
  out.step.attention.block_table = out.block_table;
  out.step.attention.block_size = block_size;
  return out;
}

Status upload_inputs(RankContext& rank, HostInputs& host, const DeviceInputs& device) {
  host.packed.clear();
  for (const std::vector<int32_t>* part : {&host.tokens,
                                           &host.token_rows,
                                           &host.positions,
                                           &host.slots,
                                           &host.query_begin,
                                           &host.context_before,
                                           &host.key_begin,
                                           &host.table_rows,
                                           &host.logit_rows,
                                           &host.sampled_rows}) {
    host.packed.insert(host.packed.end(), part->begin(), part->end());
  }
  // A token's row of the two rotary tables laid one after the other.
  const auto tokens = narrow<int32_t>(ssize(host.tokens.size()));
  for (int32_t i = 0; i < narrow<int32_t>(ssize(host.long_rope.size())); ++i) {
    host.packed.push_back(i + (host.long_rope[usize(i)] != 0 ? tokens : 0));
  }
  host.packed.insert(host.packed.end(), host.log_probs.begin(), host.log_probs.end());
  append_words(host.draws, host.packed);
  append_words(host.adjusted, host.packed);
  append_words(host.adjusted_draws, host.packed);
  TUTTI_CHECK_EQ(ssize(host.packed.size()), device.packed.dim(0));
  return rank.device.copy_from_host(
      device.packed.raw(), host.packed.data(), device.packed.bytes(), rank.stream);
}

}  // namespace tutti
