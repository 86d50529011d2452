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

}  // namespace

Result<StepInputs> make_step_inputs(RankContext& rank,
                                    Arena& arena,
                                    const Batch& batch,
                                    const std::vector<int32_t>& logit_rows,
                                    int64_t block_size) {
  TUTTI_CHECK_EQ(batch.position_axes, 1);
  const int64_t sequences = ssize(batch.sequences.size());
  size_t table_width = 1;
  for (const BatchSequence& s : batch.sequences) {
    table_width = std::max(table_width, s.blocks.size());
  }
  std::vector<int32_t> query_begin{0};
  std::vector<int32_t> context_before;
  std::vector<int32_t> key_begin{0};
  std::vector<int32_t> slots;
  int64_t max_queries = 0;
  int64_t max_keys = 0;
  std::vector<int32_t> table(usize(sequences) * table_width, 0);
  slots.reserve(batch.tokens.size());
  for (size_t i = 0; i < batch.sequences.size(); ++i) {
    const BatchSequence& s = batch.sequences[i];
    TUTTI_CHECK_EQ(s.token_begin, int64_t{query_begin.back()});
    TUTTI_CHECK_LE(s.context_before + s.token_count, ssize(s.blocks.size()) * block_size);
    for (int64_t p = s.context_before; p < s.context_before + s.token_count; ++p) {
      slots.push_back(
          narrow<int32_t>(s.blocks[usize(p / block_size)] * block_size + p % block_size));
    }
    std::copy(s.blocks.begin(),
              s.blocks.end(),
              table.begin() + static_cast<std::ptrdiff_t>(i * table_width));
    max_queries = std::max(max_queries, s.token_count);
    max_keys = std::max(max_keys, s.context_before + s.token_count);
    query_begin.push_back(narrow<int32_t>(query_begin.back() + s.token_count));
    context_before.push_back(narrow<int32_t>(s.context_before));
    key_begin.push_back(narrow<int32_t>(key_begin.back() + s.context_before + s.token_count));
  }
  const int64_t tokens = ssize(batch.tokens.size());
  TUTTI_CHECK_EQ(tokens, int64_t{query_begin.back()});

  StepInputs in;
  TUTTI_TRY(in.tokens, upload(rank, arena, batch.tokens, {tokens}));
  TUTTI_TRY(in.positions, upload(rank, arena, batch.positions, {tokens}));
  TUTTI_TRY(in.slots, upload(rank, arena, slots, {tokens}));
  TUTTI_TRY(in.attention.query_begin, upload(rank, arena, query_begin, {sequences + 1}));
  TUTTI_TRY(in.attention.context_before, upload(rank, arena, context_before, {sequences}));
  TUTTI_TRY(in.attention.block_table, upload(rank, arena, table, {sequences, ssize(table_width)}));
  in.attention.block_size = block_size;
  in.attention.max_queries = max_queries;
  in.attention.max_keys = max_keys;
  TUTTI_TRY(in.key_begin, upload(rank, arena, key_begin, {sequences + 1}));
  in.total_keys = key_begin.back();
  TUTTI_TRY(in.logit_rows, upload(rank, arena, logit_rows, {ssize(logit_rows.size())}));
  return in;
}

}  // namespace tutti
