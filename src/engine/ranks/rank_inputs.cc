#include "engine/ranks/rank_inputs.h"

#include <algorithm>

namespace tutti {

namespace {

Result<ConstTensorView> upload(RankContext& rank,
                               Arena& arena,
                               const std::vector<int32_t>& values,
                               const Shape& shape) {
  const TensorView view = arena.alloc(DType::kI32, shape);
  TUTTI_RETURN_IF_ERROR(rank.device.copy_from_host(
      view.raw(), values.data(), ssize(values.size() * sizeof(int32_t)), rank.stream));
  return ConstTensorView(view);
}

void fill_rope_rows(const Batch& batch, int64_t long_rope_from, std::vector<int32_t>& rows) {
  rows.clear();
  if (long_rope_from == 0) {
    return;
  }
  const int64_t tokens = ssize(batch.tokens.size());
  for (const BatchSequence& s : batch.sequences) {
    for (int64_t i = 0; i < s.token_count; ++i) {
      const int64_t length = std::max(s.prompt_tokens, s.context_before + i + 1);
      rows.push_back(narrow<int32_t>(s.token_begin + i + (length > long_rope_from ? tokens : 0)));
    }
  }
}

}  // namespace

void BlockTables::update(const Batch& batch) {
  for (const BatchJoin& join : batch.joins) {
    if (usize(join.slot) < tables_.size()) {
      tables_[usize(join.slot)].clear();
    }
  }
  for (const BlockUpdate& update : batch.block_updates) {
    if (usize(update.slot) >= tables_.size()) {
      tables_.resize(usize(update.slot) + 1);
    }
    std::vector<int32_t>& table = tables_[usize(update.slot)];
    table.resize(std::max(table.size(), usize(update.first + update.count)));
    std::copy_n(batch.blocks.begin() + update.begin, update.count, table.begin() + update.first);
  }
}

void fill_host_inputs(const Batch& batch,
                      const BlockTables& tables,
                      std::span<const int32_t> sampled,
                      int64_t block_size,
                      int64_t long_rope_from,
                      HostInputs& out) {
  TUTTI_CHECK_EQ(batch.position_axes, 1);
  out.max_queries = 0;
  out.max_keys = 0;
  for (const BatchSequence& s : batch.sequences) {
    out.max_queries = std::max(out.max_queries, s.token_count);
    out.max_keys = std::max(out.max_keys, s.context_before + s.token_count);
  }
  out.table_width = std::max<int64_t>(1, ceil_div(out.max_keys, block_size));
  out.tokens = batch.tokens;
  out.slots.resize(batch.tokens.size());
  out.query_begin.assign(1, 0);
  out.context_before.clear();
  out.key_begin.assign(1, 0);
  out.block_table.resize(batch.sequences.size() * usize(out.table_width));
  auto row = out.block_table.begin();
  size_t token = 0;
  for (const BatchSequence& s : batch.sequences) {
    const std::span<const int32_t> blocks = tables.of(s.slot);
    const int64_t end = s.context_before + s.token_count;
    const int64_t used = ceil_div(end, block_size);
    TUTTI_CHECK_EQ(s.token_begin, ssize(token));
    TUTTI_CHECK_LE(used, ssize(blocks.size()));
    for (int64_t p = s.context_before; p < end; ++p, ++token) {
      out.slots[token] = static_cast<int32_t>(
          blocks[static_cast<size_t>(p / block_size)] * block_size + p % block_size);
      if (out.tokens[token] == kSampledToken) {
        out.tokens[token] = sampled[usize(s.slot)];
      }
    }
    std::fill(std::copy_n(blocks.begin(), used, row), row + out.table_width, 0);
    row += out.table_width;
    out.query_begin.push_back(narrow<int32_t>(ssize(token)));
    out.context_before.push_back(narrow<int32_t>(s.context_before));
    out.key_begin.push_back(narrow<int32_t>(out.key_begin.back() + end));
  }
  TUTTI_CHECK_EQ(token, batch.tokens.size());
  fill_rope_rows(batch, long_rope_from, out.rope_rows);
}

Result<StepInputs> make_step_inputs(RankContext& rank,
                                    Arena& arena,
                                    const Batch& batch,
                                    const HostInputs& host,
                                    int64_t block_size) {
  const int64_t sequences = ssize(batch.sequences.size());
  const int64_t tokens = ssize(batch.tokens.size());
  StepInputs in;
  TUTTI_TRY(in.tokens, upload(rank, arena, host.tokens, {tokens}));
  TUTTI_TRY(in.positions, upload(rank, arena, batch.positions, {tokens}));
  TUTTI_TRY(in.slots, upload(rank, arena, host.slots, {tokens}));
  if (!host.rope_rows.empty()) {
    TUTTI_TRY(in.rope_rows, upload(rank, arena, host.rope_rows, {tokens}));
  }
  TUTTI_TRY(in.attention.query_begin, upload(rank, arena, host.query_begin, {sequences + 1}));
  TUTTI_TRY(in.attention.context_before, upload(rank, arena, host.context_before, {sequences}));
  TUTTI_TRY(in.attention.block_table,
            upload(rank, arena, host.block_table, {sequences, host.table_width}));
  in.attention.block_size = block_size;
  in.attention.max_queries = host.max_queries;
  in.attention.max_keys = host.max_keys;
  TUTTI_TRY(in.key_begin, upload(rank, arena, host.key_begin, {sequences + 1}));
  in.total_keys = host.key_begin.back();
  TUTTI_TRY(in.logit_rows, upload(rank, arena, host.logit_rows, {ssize(host.logit_rows.size())}));
  return in;
}

}  // namespace tutti
