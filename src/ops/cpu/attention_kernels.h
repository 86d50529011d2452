// Attention with a running softmax (Milakov and Gimelshein, arXiv:1805.02867) over blocks of keys
// at fixed positions. What is computed for one query row, and in which order, depends on that row
// alone; rows of a tile only share the loads of keys and values.
#pragma once
#include "ops/cpu/elementwise_kernels.h"

namespace tutti::cpu {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();

void attend_begin(QueryTile& tile) {
  for (int64_t r = 0; r < tile.count; ++r) {
    tile.rows[r].largest = kMinusInfinity;
    tile.rows[r].sum = 0;
    for_each_vector(tile.dv, [&](int64_t i, int64_t lanes) {
      store_lanes(tile.rows[r].out + i, Simd::zero(), lanes);
    });
  }
}

// Keys of the block that a row sees.
inline int64_t visible_in(const QueryRow& row, const KeyBlock& keys) {
  const int64_t n = row.visible - keys.begin;
  return n < 0 ? 0 : (n < keys.count ? n : keys.count);
}

// acc[r][j] += q[r] . k[j] over one part, lane by lane.
template <int R, int J>
inline void dot_part(Simd::F (&acc)[R][J],
                     const float* const (&q)[R],
                     const float* const* k,
                     int64_t width) {
  for_each_vector(
      width, [&](int64_t i, int64_t lanes) __attribute__((always_inline)) {
        Simd::F qv[R];
        for (int r = 0; r < R; ++r) {
          qv[r] = load_lanes(q[r] + i, lanes);
        }
        for (int j = 0; j < J; ++j) {
          const Simd::F kv = load_lanes(k[j] + i, lanes);
          for (int r = 0; r < R; ++r) {
            acc[r][j] = Simd::fma(qv[r], kv, acc[r][j]);
          }
        }
      });
}

// Scores of rows r .. r + R against keys j .. j + J.
template <int R, int J>
inline void score_tile(float (*scores)[kKeyBlock],
                       const QueryTile& tile,
                       const KeyBlock& keys,
                       int64_t first_row,
                       int64_t first_key) {
  Simd::F acc[R][J];
  const float* a[R];
  const float* b[R];
  for (int r = 0; r < R; ++r) {
    a[r] = tile.rows[first_row + r].a;
    b[r] = tile.rows[first_row + r].b;
    for (int j = 0; j < J; ++j) {
      acc[r][j] = Simd::zero();
    }
  }
  dot_part<R, J>(acc, a, keys.a + first_key, tile.da);
  dot_part<R, J>(acc, b, keys.b + first_key, tile.db);
  for (int r = 0; r < R; ++r) {
    for (int j = 0; j < J; ++j) {
      scores[first_row + r][first_key + j] = Simd::sum(acc[r][j]) * tile.scale;
    }
  }
}

template <int R>
inline void score_rows(float (*scores)[kKeyBlock],
                       const QueryTile& tile,
                       const KeyBlock& keys,
                       int64_t row) {
  int64_t j = 0;
  for (; j + 2 <= keys.count; j += 2) {
    score_tile<R, 2>(scores, tile, keys, row, j);
  }
  if (j < keys.count) {
    score_tile<R, 1>(scores, tile, keys, row, j);
  }
}

// Turns a row's scores into weights, updates its running maximum and sum, and rescales what it has
// summed so far.
inline void update_row(QueryRow& row, float* scores, int64_t n, int64_t dv) {
  for (int64_t j = n; j < kKeyBlock; ++j) {
    scores[j] = kMinusInfinity;
  }
  float largest = row.largest;
  for (int64_t j = 0; j < n; ++j) {
    largest = scores[j] > largest ? scores[j] : largest;
  }
  const Simd::F shift = Simd::set1(largest);
  Simd::F sum = Simd::zero();
  for (int64_t j = 0; j < kKeyBlock; j += Simd::kWidth) {
    const Simd::F e = exp_vector(Simd::sub(Simd::load(scores + j), shift));
    Simd::store(scores + j, e);
    sum = Simd::add(sum, e);
  }
  if (largest != row.largest) {
    const Simd::F correction = exp_vector(Simd::set1(row.largest - largest));
    float factor[Simd::kWidth];
    Simd::store(factor, correction);
    row.sum *= factor[0];
    for_each_vector(dv, [&](int64_t i, int64_t lanes) {
      store_lanes(row.out + i, Simd::mul(load_lanes(row.out + i, lanes), correction), lanes);
    });
    row.largest = largest;
  }
  row.sum += Simd::sum(sum);
}

// out[r][i ...] += sum over keys begin .. end of weight * value, for C vectors at element i. A
// cache line holds more than one vector of some instruction sets: both are used while it is at
// hand.
template <int R, int C>
inline void add_columns(QueryRow* rows,
                        const float (*weights)[kKeyBlock],
                        const KeyBlock& keys,
                        int64_t begin,
                        int64_t end,
                        int64_t i) {
  Simd::F acc[R][C];
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) {
      acc[r][c] = Simd::load(rows[r].out + i + c * Simd::kWidth);
    }
  }
  for (int64_t j = begin; j < end; ++j) {
    Simd::F v[C];
    for (int c = 0; c < C; ++c) {
      v[c] = Simd::load(keys.v[j] + i + c * Simd::kWidth);
    }
    for (int r = 0; r < R; ++r) {
      const Simd::F weight = Simd::set1(weights[r][j]);
      for (int c = 0; c < C; ++c) {
        acc[r][c] = Simd::fma(weight, v[c], acc[r][c]);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) {
      Simd::store(rows[r].out + i + c * Simd::kWidth, acc[r][c]);
    }
  }
}

// The same for the last dv - i columns, fewer than a vector.
inline void add_last_columns(QueryRow& row,
                             const float* weights,
                             const KeyBlock& keys,
                             int64_t begin,
                             int64_t end,
                             int64_t i,
                             int64_t dv) {
  Simd::F acc = Simd::load_first(row.out + i, dv - i);
  for (int64_t j = begin; j < end; ++j) {
    acc = Simd::fma(Simd::set1(weights[j]), Simd::load_first(keys.v[j] + i, dv - i), acc);
  }
  Simd::store_first(row.out + i, acc, dv - i);
}

// All columns, for R rows that see all of keys begin .. end.
template <int R>
inline void add_values(QueryRow* rows,
                       const float (*weights)[kKeyBlock],
                       const KeyBlock& keys,
                       int64_t begin,
                       int64_t end,
                       int64_t dv) {
  int64_t i = 0;
  for (; i + 2 * Simd::kWidth <= dv; i += 2 * Simd::kWidth) {
    add_columns<R, 2>(rows, weights, keys, begin, end, i);
  }
  for (; i + Simd::kWidth <= dv; i += Simd::kWidth) {
    add_columns<R, 1>(rows, weights, keys, begin, end, i);
  }
  if (i < dv) {
    for (int r = 0; r < R; ++r) {
      add_last_columns(rows[r], weights[r], keys, begin, end, i, dv);
    }
  }
}

template <int R>
inline void attend_rows(QueryTile& tile, const KeyBlock& keys, int64_t first) {
  float scores[kMaxQueryRows][kKeyBlock];
  score_rows<R>(scores, tile, keys, first);
  QueryRow* rows = tile.rows + first;
  int64_t shared = keys.count;
  for (int r = 0; r < R; ++r) {
    const int64_t n = visible_in(rows[r], keys);
    shared = n < shared ? n : shared;
    if (n > 0) {
      update_row(rows[r], scores[first + r], n, tile.dv);
    }
  }
  add_values<R>(rows, scores + first, keys, 0, shared, tile.dv);
  for (int r = 0; r < R; ++r) {  // keys that only some of the rows see
    const int64_t n = visible_in(rows[r], keys);
    if (n > shared) {
      add_values<1>(rows + r, scores + first + r, keys, shared, n, tile.dv);
    }
  }
}

void attend_block(QueryTile& tile, const KeyBlock& keys) {
  int64_t r = 0;
  for (; r + 4 <= tile.count; r += 4) {
    attend_rows<4>(tile, keys, r);
  }
  switch (tile.count - r) {
    case 3:
      return attend_rows<3>(tile, keys, r);
    case 2:
      return attend_rows<2>(tile, keys, r);
    case 1:
      return attend_rows<1>(tile, keys, r);
    default:
      return;
  }
}

void attend_end(QueryTile& tile) {
  for (int64_t r = 0; r < tile.count; ++r) {
    const Simd::F factor = Simd::set1(1.0F / tile.rows[r].sum);
    float* out = tile.rows[r].out;
    for_each_vector(tile.dv, [&](int64_t i, int64_t lanes) {
      store_lanes(out + i, Simd::mul(load_lanes(out + i, lanes), factor), lanes);
    });
  }
}

}  // namespace
}  // namespace tutti::cpu
