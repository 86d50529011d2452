// Attention of CpuOps: cuts the query rows into tiles that share keys, and feeds the kernels the
// addresses of keys and values block by block.
#include <algorithm>

#include "base/checked.h"
#include "ops/cpu/cpu_ops_impl.h"
#include "ops/strided.h"

namespace tutti {

namespace {

// Query rows [first, first + count) of sequence s, counted over its tokens.
struct TokenTile {
  int64_t sequence = 0;
  int64_t first_token = 0;  // row of q
  int64_t tokens = 0;
  int64_t position = 0;  // of the first token
};

// Tiles of at most `size` tokens never cross a sequence. Tile i of the batch; tokens = 0 if there
// are fewer.
TokenTile token_tile(const AttentionBatch& batch, int64_t size, int64_t i) {
  const auto* begin = batch.query_begin.data<int32_t>();
  for (int64_t s = 0; s < batch.context_before.dim(0); ++s) {
    const int64_t tokens = begin[s + 1] - begin[s];
    const int64_t tiles = ceil_div(tokens, size);
    if (i < tiles) {
      return {.sequence = s,
              .first_token = begin[s] + i * size,
              .tokens = std::min(size, tokens - i * size),
              .position = batch.context_before.data<int32_t>()[s] + i * size};
    }
    i -= tiles;
  }
  return {};
}

// Walks over the cached rows of a sequence. One division per block of keys, not one per key.
class CachedRows {
 public:
  CachedRows(const AttentionBatch& batch, int64_t sequence, int64_t position)
      : block_size_(batch.block_size),
        block_(row_of<int32_t>(batch.block_table, sequence) + position / batch.block_size),
        slot_(position % batch.block_size) {}

  const float* row(const ConstTensorView& cache) const {
    return static_cast<const float*>(cache.raw()) + *block_ * cache.stride(0) +
           slot_ * cache.stride(1);
  }

  void advance() {
    if (++slot_ == block_size_) {
      slot_ = 0;
      ++block_;
    }
  }

 private:
  int64_t block_size_;
  const int32_t* block_;
  int64_t slot_;
};

// What the three attention ops differ in: which query heads read the same keys, and where queries,
// keys and values are.
struct GroupedSource {
  TensorView out;
  ConstTensorView q;
  ConstTensorView k_cache;
  ConstTensorView v_cache;
  const AttentionBatch& batch;
  float scale;

  int64_t heads() const { return q.dim(1); }

  int64_t heads_per_key() const { return q.dim(1) / (k_cache.dim(2) / q.dim(2)); }

  void widths(cpu::QueryTile& tile) const {
    tile.da = q.dim(2);
    tile.dv = out.dim(2);
  }

  void query(cpu::QueryRow& row, int64_t t, int64_t h) const {
    row.a = row_of<float>(q, t, h);
    row.out = row_of<float>(out, t, h);
  }

  void fill(cpu::KeyBlock& keys, int64_t s, int64_t h) const {
    const int64_t kv_head = h / heads_per_key();
    CachedRows rows(batch, s, keys.begin);
    for (int64_t j = 0; j < keys.count; ++j, rows.advance()) {
      keys.a[j] = rows.row(k_cache) + kv_head * q.dim(2);
      keys.v[j] = rows.row(v_cache) + kv_head * out.dim(2);
    }
  }
};

struct LatentSource {
  TensorView out;
  ConstTensorView q_latent;
  ConstTensorView q_rope;
  ConstTensorView cache;
  const AttentionBatch& batch;
  float scale;

  int64_t heads() const { return q_latent.dim(1); }

  int64_t heads_per_key() const { return q_latent.dim(1); }

  void widths(cpu::QueryTile& tile) const {
    tile.da = q_latent.dim(2);
    tile.db = q_rope.dim(2);
    tile.dv = q_latent.dim(2);
  }

  void query(cpu::QueryRow& row, int64_t t, int64_t h) const {
    row.a = row_of<float>(q_latent, t, h);
    row.b = row_of<float>(q_rope, t, h);
    row.out = row_of<float>(out, t, h);
  }

  void fill(cpu::KeyBlock& keys, int64_t s, int64_t) const {
    CachedRows rows(batch, s, keys.begin);
    for (int64_t j = 0; j < keys.count; ++j, rows.advance()) {
      keys.a[j] = rows.row(cache);
      keys.b[j] = keys.a[j] + q_latent.dim(2);
      keys.v[j] = keys.a[j];
    }
  }
};

struct ExpandedSource {
  TensorView out;
  ConstTensorView q;
  ConstTensorView kv;
  ConstTensorView k_rope;
  const int32_t* key_begin;
  float scale;

  int64_t heads() const { return q.dim(1); }

  int64_t heads_per_key() const { return 1; }

  int64_t nope() const { return q.dim(2) - k_rope.dim(1); }

  void widths(cpu::QueryTile& tile) const {
    tile.da = nope();
    tile.db = k_rope.dim(1);
    tile.dv = out.dim(2);
  }

  void query(cpu::QueryRow& row, int64_t t, int64_t h) const {
    row.a = row_of<float>(q, t, h);
    row.b = row.a + nope();
    row.out = row_of<float>(out, t, h);
  }

  void fill(cpu::KeyBlock& keys, int64_t s, int64_t h) const {
    for (int64_t j = 0; j < keys.count; ++j) {
      const int64_t row = key_begin[s] + keys.begin + j;
      keys.a[j] = row_of<float>(kv, row, h);
      keys.b[j] = row_of<float>(k_rope, row);
      keys.v[j] = keys.a[j] + nope();
    }
  }
};

void prefetch_row(const float* row, int64_t n) {
  constexpr int64_t kLineFloats = 16;
  for (int64_t i = 0; i < n; i += kLineFloats) {
    __builtin_prefetch(row + i, 0, 2);
  }
}

// Rows of different positions lie too far apart for the hardware to read ahead.
void prefetch(const cpu::KeyBlock& keys, const cpu::QueryTile& tile) {
  for (int64_t j = 0; j < keys.count; ++j) {
    prefetch_row(keys.a[j], tile.da);
    prefetch_row(keys.b[j], tile.db);
    if (keys.v[j] != keys.a[j]) {
      prefetch_row(keys.v[j], tile.dv);
    }
  }
}

}  // namespace

template <class Source>
void CpuOps::run_attention(const AttentionBatch& batch, int64_t tokens, const Source& source) {
  const int64_t sharing = source.heads_per_key();
  const int64_t heads_per_tile = std::min(sharing, cpu::kMaxQueryRows);
  const int64_t tiles_per_group = ceil_div(sharing, heads_per_tile);
  const int64_t head_tiles = source.heads() / sharing * tiles_per_group;
  const int64_t tokens_per_tile = cpu::kMaxQueryRows / heads_per_tile;
  // Each sequence may end in a part of a tile; surplus tiles turn out empty.
  const int64_t token_tiles =
      std::min(tokens, tokens / tokens_per_tile + batch.context_before.dim(0));
  pool_.parallel_for(token_tiles * head_tiles, [&](int64_t i, int) {
    const TokenTile span = token_tile(batch, tokens_per_tile, i / head_tiles);
    const int64_t in_group = i % head_tiles % tiles_per_group * heads_per_tile;
    const int64_t first_head = i % head_tiles / tiles_per_group * sharing + in_group;
    const int64_t heads = std::min(heads_per_tile, sharing - in_group);
    cpu::QueryTile tile;
    tile.scale = source.scale;
    source.widths(tile);
    for (int64_t t = 0; t < span.tokens; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        cpu::QueryRow& row = tile.rows[tile.count++];
        source.query(row, span.first_token + t, first_head + h);
        row.visible = span.position + t + 1;
      }
    }
    kernels_.attend_begin(tile);
    const int64_t visible = span.tokens == 0 ? 0 : span.position + span.tokens;
    cpu::KeyBlock blocks[2];
    const auto load = [&](int64_t begin) -> cpu::KeyBlock& {
      cpu::KeyBlock& keys = blocks[begin / cpu::kKeyBlock % 2];
      keys.begin = begin;
      keys.count = std::clamp<int64_t>(visible - begin, 0, cpu::kKeyBlock);
      if (keys.count > 0) {
        source.fill(keys, span.sequence, first_head);
        prefetch(keys, tile);
      }
      return keys;
    };
    for (cpu::KeyBlock* keys = &load(0); keys->count > 0;) {
      cpu::KeyBlock& next = load(keys->begin + cpu::kKeyBlock);
      kernels_.attend_block(tile, *keys);
      keys = &next;
    }
    kernels_.attend_end(tile);
  });
}

void CpuOps::run(const op::Attention& args) {
  run_attention(
      args.batch,
      args.q.dim(0),
      GroupedSource{args.out, args.q, args.k_cache, args.v_cache, args.batch, args.scale});
}

void CpuOps::run(const op::MlaAttention& args) {
  if (args.q_latent.dim(1) > 0) {
    run_attention(
        args.batch,
        args.q_latent.dim(0),
        LatentSource{args.out, args.q_latent, args.q_rope, args.cache, args.batch, args.scale});
  }
}

void CpuOps::run(const op::MlaExpandedAttention& args) {
  const auto* begin = args.key_begin.data<int32_t>();
  run_attention(args.batch,
                args.q.dim(0),
                ExpandedSource{args.out, args.q, args.kv, args.k_rope, begin, args.scale});
}

}  // namespace tutti
