#include "ops/cpu/cpu_ops.h"

#include <algorithm>

#include "base/checked.h"
#include "device/cpu_device.h"
#include "ops/cpu/cpu_ops_impl.h"
#include "ops/cpu/kernel_choice.h"
#include "ops/strided.h"

namespace tutti {

namespace {

constexpr int64_t kFloatBytes = 4;

cpu::WeightType storage_type(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return cpu::WeightType::kF16;
    case DType::kBF16:
      return cpu::WeightType::kBF16;
    default:
      return cpu::WeightType::kF32;
  }
}

}  // namespace

std::unique_ptr<Ops> make_cpu_ops(const CpuOpsConfig& config) {
  const std::vector<CpuIsa> isas = available_cpu_isas();
  const CpuIsa isa = config.isa.value_or(isas.back());
  TUTTI_CHECK_MSG(std::find(isas.begin(), isas.end(), isa) != isas.end(),
                  "this machine or build has no {}",
                  cpu_isa_name(isa));
  // A decode step is a chain of short regions, so waiting threads should still be awake for the
  // next one. Where threads outnumber CPUs a spinning thread keeps a working one from its CPU.
  constexpr int kSpinUs = 50;
  constexpr int kSpinUsCrowded = 5;
  const int spin_us =
      config.spin_us.value_or(config.threads <= available_cpus() ? kSpinUs : kSpinUsCrowded);
  return std::make_unique<CpuOps>(cpu::kernels_for(isa), isa, config.threads, spin_us);
}

CpuOps::CpuOps(const cpu::CpuKernels& kernels, CpuIsa isa, int threads, int spin_us)
    : kernels_(kernels), name_(std::string("cpu-") + cpu_isa_name(isa)), pool_(threads, spin_us) {
  for (int i = 0; i < threads; ++i) {
    scratch_.push_back(std::make_unique<float[]>(usize(cpu::kLinearScratchFloats)));
  }
}

void CpuOps::do_embedding(TensorView y,
                          ConstTensorView table,
                          ConstTensorView ids,
                          int64_t first_id) {
  const int64_t d = y.dim(1);
  const auto* bytes = static_cast<const std::byte*>(table.raw());
  const int64_t row_bytes = table.stride(0) * dtype_size(table.dtype());
  for_rows(y.dim(0), d * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      const int64_t id = ids.data<int32_t>()[t] - first_id;
      if (id < 0 || id >= table.dim(0)) {
        std::fill_n(row_of<float>(y, t), d, 0.0F);
      } else {
        kernels_.to_f32(
            row_of<float>(y, t), bytes + id * row_bytes, storage_type(table.dtype()), d);
      }
    }
  });
}

void CpuOps::do_rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) {
  const TensorView y3 = as_rank3(y);
  const ConstTensorView x3 = as_rank3(x);
  const int64_t d = x3.dim(2);
  const auto* w = weight.data<float>();
  for_rows(x3.dim(0), x3.dim(1) * d * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      for (int64_t h = 0; h < x3.dim(1); ++h) {
        kernels_.rms_norm(row_of<float>(y3, t, h), row_of<float>(x3, t, h), w, d, eps);
      }
    }
  });
}

void CpuOps::do_add_rms_norm(
    TensorView y, TensorView residual, ConstTensorView x, ConstTensorView weight, float eps) {
  const int64_t d = x.dim(1);
  const auto* w = weight.data<float>();
  for_rows(x.dim(0), 2 * d * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      kernels_.add(row_of<float>(residual, t), row_of<float>(x, t), d);
      kernels_.rms_norm(row_of<float>(y, t), row_of<float>(residual, t), w, d, eps);
    }
  });
}

void CpuOps::do_add(TensorView y, ConstTensorView x) {
  for_rows(y.dim(0), 2 * y.dim(1) * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      kernels_.add(row_of<float>(y, t), row_of<float>(x, t), y.dim(1));
    }
  });
}

void CpuOps::do_silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) {
  for_rows(y.dim(0), 3 * y.dim(1) * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      kernels_.silu_mul(
          row_of<float>(y, t), row_of<float>(gate, t), row_of<float>(up, t), y.dim(1));
    }
  });
}

void CpuOps::do_rope(TensorView x, ConstTensorView table, RopeLayout layout) {
  const auto rotate =
      layout == RopeLayout::kInterleaved ? kernels_.rope_interleaved : kernels_.rope_half_split;
  const int64_t row_bytes = 2 * x.dim(1) * x.dim(2) * kFloatBytes;
  for_rows(x.dim(0), row_bytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      for (int64_t h = 0; h < x.dim(1); ++h) {
        rotate(row_of<float>(x, t, h), row_of<float>(table, t), x.dim(2) / 2);
      }
    }
  });
}

void CpuOps::do_moe_combine(TensorView y,
                            ConstTensorView x,
                            ConstTensorView pair_row,
                            ConstTensorView weights) {
  const int64_t top_k = pair_row.dim(1);
  for_rows(y.dim(0), (top_k + 1) * y.dim(1) * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      kernels_.combine(row_of<float>(y, t),
                       x.data<float>(),
                       x.stride(0),
                       row_of<int32_t>(pair_row, t),
                       row_of<float>(weights, t),
                       top_k,
                       y.dim(1));
    }
  });
}

// The rest is bookkeeping and copies with nothing to vectorise: the reference, on pieces of the
// rows where that saves time.

void CpuOps::do_rope_table(TensorView table,
                           ConstTensorView positions,
                           ConstTensorView inv_freq,
                           float scale) {
  constexpr int64_t kSineCost = 64;  // in bytes moved meanwhile
  for_rows(table.dim(0), table.dim(1) * kSineCost, [&](int64_t begin, int64_t count) {
    ref_.rope_table(
        table.slice(0, begin, count), positions.slice(0, begin, count), inv_freq, scale);
  });
}

void CpuOps::do_write_kv(TensorView cache, ConstTensorView x, ConstTensorView slots) {
  for_rows(x.dim(0), 2 * x.dim(1) * kFloatBytes, [&](int64_t begin, int64_t count) {
    ref_.write_kv(cache, x.slice(0, begin, count), slots.slice(0, begin, count));
  });
}

void CpuOps::do_gather_kv(TensorView y,
                          ConstTensorView cache,
                          const AttentionBatch& batch,
                          ConstTensorView key_begin) {
  ref_.gather_kv(y, cache, batch, key_begin);
}

void CpuOps::do_gather_rows(TensorView y, ConstTensorView x, ConstTensorView rows) {
  for_rows(y.dim(0), 2 * y.dim(1) * kFloatBytes, [&](int64_t begin, int64_t count) {
    ref_.gather_rows(y.slice(0, begin, count), x, rows.slice(0, begin, count));
  });
}

void CpuOps::do_shard_argmax(const ShardArgmax& args) {
  for_rows(args.logits.dim(0), args.logits.dim(1) * kFloatBytes, [&](int64_t begin, int64_t count) {
    ref_.shard_argmax({.best = args.best.slice(0, begin, count),
                       .logits = args.logits.slice(0, begin, count),
                       .first_id = args.first_id,
                       .limit = args.limit});
  });
}

void CpuOps::do_merge_argmax(const MergeArgmax& args) {
  ref_.merge_argmax(args);
}

void CpuOps::do_argmax(TensorView tokens, ConstTensorView logits, int64_t limit) {
  for_rows(logits.dim(0), limit * kFloatBytes, [&](int64_t begin, int64_t count) {
    ref_.argmax(tokens.slice(0, begin, count), logits.slice(0, begin, count), limit);
  });
}

void CpuOps::do_draw(TensorView tokens,
                     ConstTensorView logits,
                     int64_t limit,
                     ConstTensorView rows) {
  constexpr int64_t kSortCost = 64;  // in bytes moved meanwhile
  for_rows(logits.dim(0), limit * kSortCost, [&](int64_t begin, int64_t count) {
    ref_.draw(tokens.slice(0, begin, count),
              logits.slice(0, begin, count),
              limit,
              rows.slice(0, begin, count));
  });
}

void CpuOps::do_log_probs(TensorView ids,
                          TensorView values,
                          ConstTensorView tokens,
                          ConstTensorView logits,
                          int64_t limit,
                          ConstTensorView counts) {
  constexpr int64_t kExpCost = 32;  // in bytes moved meanwhile
  for_rows(logits.dim(0), limit * kExpCost, [&](int64_t begin, int64_t count) {
    ref_.log_probs(ids.slice(0, begin, count),
                   values.slice(0, begin, count),
                   tokens.slice(0, begin, count),
                   logits.slice(0, begin, count),
                   limit,
                   counts.slice(0, begin, count));
  });
}

void CpuOps::do_adjust_logits(TensorView y,
                              ConstTensorView logits,
                              int64_t limit,
                              const AdjustTables& tables,
                              ConstTensorView rows) {
  for_rows(y.dim(0), 4 * limit * kFloatBytes, [&](int64_t begin, int64_t count) {
    ref_.adjust_logits(
        y.slice(0, begin, count), logits, limit, tables, rows.slice(0, begin, count));
  });
}

void CpuOps::do_take_adjusted(TensorView chosen,
                              const AdjustTables& tables,
                              ConstTensorView tokens,
                              ConstTensorView rows) {
  ref_.take_adjusted(chosen, tables, tokens, rows);
}

void CpuOps::do_fill_tokens(TensorView tokens, ConstTensorView last, ConstTensorView rows) {
  ref_.fill_tokens(tokens, last, rows);
}

void CpuOps::do_scatter(TensorView y, ConstTensorView values, ConstTensorView at) {
  ref_.scatter(y, values, at);
}

void CpuOps::do_moe_route(TensorView experts,
                          TensorView weights,
                          ConstTensorView logits,
                          ConstTensorView bias,
                          const RouterParams& params) {
  constexpr int64_t kScoreCost = 256;  // exponential and top_k scans, in bytes moved meanwhile
  for_rows(logits.dim(0), logits.dim(1) * kScoreCost, [&](int64_t begin, int64_t count) {
    ref_.moe_route(experts.slice(0, begin, count),
                   weights.slice(0, begin, count),
                   logits.slice(0, begin, count),
                   bias,
                   params);
  });
}

void CpuOps::do_moe_permute(TensorView row_token,
                            TensorView pair_row,
                            TensorView offsets,
                            ConstTensorView experts) {
  ref_.moe_permute(row_token, pair_row, offsets, experts);
}

}  // namespace tutti
