// The bitwise promises of ops.h, for every CPU kernel set: a row's result depends on that row's
// inputs alone, whatever stands beside it, however many threads work, however a prompt is cut.
#include <cstring>

#include <gtest/gtest.h>

#include "ops/cases_attention.h"
#include "ops/cases_linear.h"
#include "ops/cases_moe.h"
#include "ops/cpu_backends.h"

namespace tutti::test {
namespace {

// Bits, so that -0 differs from 0 and NaN equals itself.
std::vector<uint32_t> bits(const std::vector<float>& values) {
  std::vector<uint32_t> result(values.size());
  if (!values.empty()) {
    std::memcpy(result.data(), values.data(), values.size() * sizeof(float));
  }
  return result;
}

// Only cases with enough work for several pieces; the others run on one thread anyway.
std::vector<OpCase> large_cases() {
  std::vector<OpCase> cases{
      linear_case({.dtype = DType::kF32, .m = 130, .n = 197, .k = 600}),
      linear_case({.dtype = DType::kBF16, .m = 1, .n = 900, .k = 1024, .bias = true}),
      linear_case({.dtype = DType::kF8E4M3, .m = 20, .n = 300, .k = 260, .block_k = 37}),
      linear_case({.dtype = DType::kF16, .n = 120, .k = 600, .groups = {3, 0, 20, 1}}),
      linear_case({.dtype = DType::kBF16, .m = 6, .n = 96, .k = 100, .heads = 9}),
      rms_norm_case({40, 1000}, 0, NormInput::kActivation),
      add_rms_norm_case({40, 1000}, 5),
      layer_norm_case({40, 1000}, 5, true, NormInput::kActivation),
      gelu_mul_case({40, 1000}, 5, /*tanh=*/false),
      sum_squares_case({40, 1000}, 300, 5),
      norm_part_case({40, 1000}, 5, /*in_place=*/true),
      silu_mul_case({40, 1000}, 0),
      rope_case({40, 9, 128}, RopeLayout::kInterleaved, 0),
      rope_table_case(40, 64),
      attention_case({.batch = {{{3, 37}, {100, 9}}, 7}, .heads = 6, .kv_heads = 2}),
      mla_attention_case({{{30, 12}}, 16}, 16, 64, 16),
      mla_expanded_case({{{0, 20}}, 16}, 3, 32, 16, 32),
      moe_combine_case(50, 8, 200, 3)};
  append(cases, moe_cases());
  return cases;
}

TEST(Determinism, ThreadsDoNotChangeBits) {
  const std::vector<OpCase> cases = large_cases();
  for (const CpuIsa isa : available_cpu_isas()) {
    const auto one = cpu_backend(isa, 1);
    const auto two = cpu_backend(isa, 2);
    const auto three = cpu_backend(isa, 3);
    for (const OpCase& op_case : cases) {
      SCOPED_TRACE(op_case.name + " " + cpu_isa_name(isa));
      const std::vector<HostTensor> expected = run_case(op_case, *one);
      for (TestBackend* backend : {two.get(), three.get()}) {
        const std::vector<HostTensor> actual = run_case(op_case, *backend);
        for (size_t i = 0; i < expected.size(); ++i) {
          ASSERT_EQ(actual[i].bytes(), expected[i].bytes()) << backend->name();
        }
      }
    }
  }
}

TEST(Determinism, LinearRowsAreIndependent) {
  struct Case {
    DType dtype;
    int64_t n, k, block_k;
  };

  for (const Case& c : {Case{DType::kF32, 53, 1100, 0},
                        Case{DType::kBF16, 130, 777, 0},
                        Case{DType::kF16, 49, 96, 0},
                        Case{DType::kF8E4M3, 100, 1030, 128},
                        Case{DType::kF8E4M3, 61, 700, 32},
                        Case{DType::kF8E4M3, 7, 90, 5}}) {
    for (const CpuIsa isa : available_cpu_isas()) {
      const auto backend = cpu_backend(isa, 2);
      PreparedOp op(*backend);
      const WeightView w = make_weight(
          op, {.dtype = c.dtype, .n = c.n, .k = c.k, .block_n = 16, .block_k = c.block_k});
      constexpr int64_t kRows = 70;
      const HostTensor x = normal({kRows, c.k}, 9);
      HostTensor together(DType::kF32, {kRows, c.n});
      backend->ops().linear(together.view(), x.view(), w, {});
      for (const int64_t piece : {1, 2, 3, 4, 7, 8, 9, 37}) {
        SCOPED_TRACE(std::string(dtype_name(c.dtype)) + " in pieces of " + std::to_string(piece) +
                     " on " + backend->name());
        HostTensor apart(DType::kF32, {kRows, c.n});
        for (int64_t t = 0; t < kRows; t += piece) {
          const int64_t count = std::min(piece, kRows - t);
          backend->ops().linear(
              apart.view().slice(0, t, count), x.view().slice(0, t, count), w, {});
        }
        ASSERT_EQ(bits(apart.values()), bits(together.values()));
      }
    }
  }
}

// A row of a weight gives the same bits in a plain, a grouped and a batched product, and whatever
// rows of the weight are computed beside it (another rank may hold fewer of them).
TEST(Determinism, WeightRowsAreIndependent) {
  for (const CpuIsa isa : available_cpu_isas()) {
    const auto backend = cpu_backend(isa, 2);
    for (const int64_t m : {1, 20}) {
      SCOPED_TRACE(backend->name());
      const HostTensor w = std::move(HostTensor(DType::kBF16, {60, 300}).fill_normal(1));
      const HostTensor x = normal({m, 300}, 2);
      HostTensor whole(DType::kF32, {m, 60});
      HostTensor parts(DType::kF32, {m, 60});
      backend->ops().linear(whole.view(), x.view(), WeightView::dense(w.view()), {});
      for (int64_t n = 0; n < 60; n += 7) {
        const int64_t count = std::min<int64_t>(7, 60 - n);
        backend->ops().linear(parts.view().slice(1, n, count),
                              x.view(),
                              WeightView::dense(w.view().slice(0, n, count)),
                              {});
      }
      EXPECT_EQ(bits(parts.values()), bits(whole.values()));
      HostTensor grouped(DType::kF32, {m, 60});
      const HostTensor offsets = ints({0, narrow<int32_t>(m)});
      const ConstTensorView stacked = w.view().reshape({1, 60, 300});
      backend->ops().grouped_linear(
          grouped.view(), x.view(), WeightView::dense(stacked), offsets.view());
      EXPECT_EQ(bits(grouped.values()), bits(whole.values()));
    }
  }
}

struct Chunks {
  std::vector<int64_t> sizes;
};

// Runs one sequence of 150 tokens through write_kv and an attention, in chunks.
template <class Attend>
std::vector<uint32_t> run_chunked(Ops& ops,
                                  const Chunks& chunks,
                                  int64_t width,
                                  const Attend& attend) {
  constexpr int64_t kTokens = 150;
  constexpr int64_t kBlock = 16;
  const HostTensor rows = normal({kTokens, width}, 5);
  HostTensor cache(DType::kF32, {10, kBlock, width});
  // What nobody wrote yet must not matter, not even as 0 * NaN.
  cache.fill([] { return std::numeric_limits<float>::quiet_NaN(); });
  HostTensor blocks(DType::kI32, {1, 10});
  std::vector<int32_t> slots;
  for (int32_t i = 0; i < 10; ++i) {
    blocks.data<int32_t>()[i] = (i * 7 + 3) % 10;
  }
  for (int32_t p = 0; p < kTokens; ++p) {
    slots.push_back(blocks.data<int32_t>()[p / kBlock] * narrow<int32_t>(kBlock) + p % 16);
  }
  const HostTensor slot_tensor = ints(slots);
  std::vector<float> results;
  int64_t first = 0;
  for (const int64_t count : chunks.sizes) {
    const HostTensor begin = ints({0, narrow<int32_t>(count)});
    const HostTensor before = ints({narrow<int32_t>(first)});
    const AttentionBatch batch{begin.view(), before.view(), blocks.view(), kBlock};
    ops.write_kv(cache.view(),
                 rows.view().slice(0, first, count),
                 slot_tensor.view().slice(0, first, count));
    const std::vector<float> part = attend(cache.view(), batch, first, count).values();
    results.insert(results.end(), part.begin(), part.end());
    first += count;
  }
  EXPECT_EQ(first, kTokens);
  return bits(results);
}

const std::vector<Chunks>& all_chunks() {
  static const std::vector<Chunks> kChunks{{{150}},
                                           {{1, 149}},
                                           {{32, 32, 32, 32, 22}},
                                           {{31, 2, 64, 7, 46}},
                                           {std::vector<int64_t>(150, 1)}};
  return kChunks;
}

TEST(Determinism, AttentionIgnoresChunks) {
  for (const auto& [heads, kv_heads, d] :
       {std::array<int64_t, 3>{6, 2, 40}, {1, 1, 64}, {16, 1, 18}, {4, 4, 96}}) {
    const HostTensor q = normal({150, heads, d}, 7);
    for (const auto& backend : cpu_backends()) {
      const auto attend =
          [&, kv_dim = kv_heads * d, h = heads, w = d](
              ConstTensorView cache, const AttentionBatch& batch, int64_t first, int64_t count) {
            HostTensor out(DType::kF32, {count, h, w});
            backend->ops().attention(out.view(),
                                     q.view().slice(0, first, count),
                                     cache.slice(2, 0, kv_dim),
                                     cache.slice(2, kv_dim, kv_dim),
                                     batch,
                                     0.2F);
            return out;
          };
      const auto whole = run_chunked(backend->ops(), all_chunks()[0], 2 * kv_heads * d, attend);
      for (const Chunks& chunks : all_chunks()) {
        ASSERT_EQ(run_chunked(backend->ops(), chunks, 2 * kv_heads * d, attend), whole)
            << backend->name() << " in " << chunks.sizes.size() << " chunks";
      }
    }
  }
}

TEST(Determinism, MlaAttentionIgnoresChunks) {
  constexpr int64_t kHeads = 11;
  constexpr int64_t kLatent = 36;
  constexpr int64_t kRope = 10;
  const HostTensor q = normal({150, kHeads, kLatent + kRope}, 7);
  for (const auto& backend : cpu_backends()) {
    const auto attend = [&](ConstTensorView cache,
                            const AttentionBatch& batch,
                            int64_t first,
                            int64_t count) {
      HostTensor out(DType::kF32, {count, kHeads, kLatent});
      const ConstTensorView rows = q.view().slice(0, first, count);
      backend->ops().mla_attention(
          out.view(), rows.slice(2, 0, kLatent), rows.slice(2, kLatent, kRope), cache, batch, 0.2F);
      return out;
    };
    const auto whole = run_chunked(backend->ops(), all_chunks()[0], kLatent + kRope, attend);
    for (const Chunks& chunks : all_chunks()) {
      ASSERT_EQ(run_chunked(backend->ops(), chunks, kLatent + kRope, attend), whole)
          << backend->name() << " in " << chunks.sizes.size() << " chunks";
    }
  }
}

}  // namespace
}  // namespace tutti::test
