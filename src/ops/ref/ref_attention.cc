// Attention of the reference: all scores of a row, their softmax, the weighted sum of values.
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/ref/ref_ops.h"
#include "ops/strided.h"

namespace tutti {

namespace {

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum += static_cast<double>(a[i]) * b[i];
  }
  return sum;
}

void softmax(std::vector<double>& scores) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& s : scores) {
    s = std::exp(s - largest);
    sum += s;
  }
  for (double& s : scores) {
    s /= sum;
  }
}

// out = sum over positions of softmax(score(position)) * value(position).
template <class Score, class Value>
void attend(float* out, int64_t dv, int64_t visible, const Score& score, const Value& value) {
  std::vector<double> scores(usize(visible));
  for (int64_t p = 0; p < visible; ++p) {
    scores[usize(p)] = score(p);
  }
  softmax(scores);
  for (int64_t i = 0; i < dv; ++i) {
    double sum = 0;
    for (int64_t p = 0; p < visible; ++p) {
      sum += scores[usize(p)] * value(p)[i];
    }
    out[i] = static_cast<float>(sum);
  }
}

// Calls row(sequence, token, visible) for each query row; it sees positions 0 .. visible - 1.
template <class Row>
void for_each_query(const AttentionBatch& batch, const Row& row) {
  const auto* begin = batch.query_begin.data<int32_t>();
  const auto* before = batch.context_before.data<int32_t>();
  for (int64_t s = 0; s < batch.context_before.dim(0); ++s) {
    for (int64_t t = begin[s]; t < begin[s + 1]; ++t) {
      row(s, t, before[s] + (t - begin[s]) + 1);
    }
  }
}

}  // namespace

void RefOps::run(const op::Attention& args) {
  const int64_t d = args.q.dim(2);
  const int64_t dv = args.out.dim(2);
  const int64_t heads_per_kv = args.q.dim(1) / (args.k_cache.dim(2) / d);
  for_each_query(args.batch, [&](int64_t s, int64_t t, int64_t visible) {
    const auto* blocks = row_of<int32_t>(args.batch.block_table, s);
    for (int64_t h = 0; h < args.q.dim(1); ++h) {
      const int64_t kv_head = h / heads_per_kv;
      const auto score = [&](int64_t p) {
        return args.scale * dot(row_of<float>(args.q, t, h),
                                cached_row(args.k_cache, blocks, p) + kv_head * d,
                                d);
      };
      const auto value = [&](int64_t p) {
        return cached_row(args.v_cache, blocks, p) + kv_head * dv;
      };
      attend(row_of<float>(args.out, t, h), dv, visible, score, value);
    }
  });
}

void RefOps::run(const op::MlaAttention& args) {
  const int64_t latent = args.q_latent.dim(2);
  for_each_query(args.batch, [&](int64_t s, int64_t t, int64_t visible) {
    const auto* blocks = row_of<int32_t>(args.batch.block_table, s);
    for (int64_t h = 0; h < args.q_latent.dim(1); ++h) {
      const auto value = [&](int64_t p) { return cached_row(args.cache, blocks, p); };
      const auto score = [&](int64_t p) {
        return args.scale *
               (dot(row_of<float>(args.q_latent, t, h), value(p), latent) +
                dot(row_of<float>(args.q_rope, t, h), value(p) + latent, args.q_rope.dim(2)));
      };
      attend(row_of<float>(args.out, t, h), latent, visible, score, value);
    }
  });
}

void RefOps::run(const op::MlaExpandedAttention& args) {
  const int64_t rope = args.k_rope.dim(1);
  const int64_t nope = args.q.dim(2) - rope;
  for_each_query(args.batch, [&](int64_t s, int64_t t, int64_t visible) {
    const int64_t first = args.key_begin.data<int32_t>()[s];
    for (int64_t h = 0; h < args.q.dim(1); ++h) {
      const float* query = row_of<float>(args.q, t, h);
      const auto score = [&](int64_t p) {
        return args.scale * (dot(query, row_of<float>(args.kv, first + p, h), nope) +
                             dot(query + nope, row_of<float>(args.k_rope, first + p), rope));
      };
      const auto value = [&](int64_t p) { return row_of<float>(args.kv, first + p, h) + nope; };
      attend(row_of<float>(args.out, t, h), args.out.dim(2), visible, score, value);
    }
  });
}

}  // namespace tutti
