#include "ops/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>

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

void CpuOps::run(const op::Embedding& args) {
  const int64_t d = args.y.dim(1);
  const auto* bytes = static_cast<const std::byte*>(args.table.raw());
  const int64_t row_bytes = args.table.stride(0) * dtype_size(args.table.dtype());
  for_rows(args.y.dim(0), d * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      const int64_t id = args.ids.data<int32_t>()[t] - args.first_id;
      if (id < 0 || id >= args.table.dim(0)) {
        std::fill_n(row_of<float>(args.y, t), d, 0.0F);
      } else {
        kernels_.to_f32(
            row_of<float>(args.y, t), bytes + id * row_bytes, storage_type(args.table.dtype()), d);
      }
    }
  });
}

void CpuOps::run(const op::RmsNorm& args) {
  const TensorView y3 = as_rank3(args.y);
  const ConstTensorView x3 = as_rank3(args.x);
  const int64_t d = x3.dim(2);
  const auto* w = args.weight.data<float>();
  for_rows(x3.dim(0), x3.dim(1) * d * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      for (int64_t h = 0; h < x3.dim(1); ++h) {
        kernels_.rms_norm(row_of<float>(y3, t, h), row_of<float>(x3, t, h), w, d, args.eps);
      }
    }
  });
}

void CpuOps::run(const op::AddRmsNorm& args) {
  const int64_t d = args.x.dim(1);
  const auto* w = args.weight.data<float>();
  for_rows(args.x.dim(0), 2 * d * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      kernels_.add(row_of<float>(args.residual, t), row_of<float>(args.x, t), d);
      kernels_.rms_norm(row_of<float>(args.y, t), row_of<float>(args.residual, t), w, d, args.eps);
    }
  });
}

void CpuOps::run(const op::LayerNorm& args) {
  const int64_t d = args.x.dim(1);
  const auto* w = args.weight.data<float>();
  const float* bias = args.bias.defined() ? args.bias.data<float>() : nullptr;
  for_rows(args.x.dim(0), 2 * d * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      kernels_.layer_norm(row_of<float>(args.y, t), row_of<float>(args.x, t), w, bias, d, args.eps);
    }
  });
}

void CpuOps::run(const op::SumSquares& args) {
  const int64_t width = args.x.dim(1) + (args.also.defined() ? args.also.dim(1) : 0);
  for_rows(args.y.dim(0), width * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      float* sums = row_of<float>(args.y, t);
      sums[0] = kernels_.sum_squares(row_of<float>(args.x, t), args.x.dim(1));
      sums[1] = args.also.defined()
                    ? kernels_.sum_squares(row_of<float>(args.also, t), args.also.dim(1))
                    : 0.0F;
    }
  });
}

void CpuOps::run(const op::NormPart& args) {
  const int64_t d = args.x.dim(1);
  const auto* w = args.weight.data<float>();
  for_rows(args.x.dim(0), d * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      const float mean = *row_of<float>(args.squares, t) / static_cast<float>(args.width);
      kernels_.scale(row_of<float>(args.y, t),
                     row_of<float>(args.x, t),
                     w,
                     d,
                     1.0F / std::sqrt(mean + args.eps));
    }
  });
}

void CpuOps::run(const op::Add& args) {
  for_rows(args.y.dim(0), 2 * args.y.dim(1) * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      kernels_.add(row_of<float>(args.y, t), row_of<float>(args.x, t), args.y.dim(1));
    }
  });
}

void CpuOps::run(const op::SiluMul& args) {
  for_rows(args.y.dim(0), 3 * args.y.dim(1) * kFloatBytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      kernels_.silu_mul(row_of<float>(args.y, t),
                        row_of<float>(args.gate, t),
                        row_of<float>(args.up, t),
                        args.y.dim(1));
    }
  });
}

// No fast kernel: of the models here only one that nobody has tried has it.
void CpuOps::run(const op::GeluMul& args) {
  constexpr int64_t kErfCost = 32;  // in bytes moved meanwhile
  for_rows(args.y.dim(0), args.y.dim(1) * kErfCost, [&](int64_t begin, int64_t count) {
    ref_.call(op::GeluMul{.y = args.y.slice(0, begin, count),
                          .gate = args.gate.slice(0, begin, count),
                          .up = args.up.slice(0, begin, count),
                          .tanh = args.tanh});
  });
}

void CpuOps::run(const op::Rope& args) {
  const auto rotate = args.layout == RopeLayout::kInterleaved ? kernels_.rope_interleaved
                                                              : kernels_.rope_half_split;
  const int64_t row_bytes = 2 * args.x.dim(1) * args.x.dim(2) * kFloatBytes;
  for_rows(args.x.dim(0), row_bytes, [&](int64_t begin, int64_t count) {
    for (int64_t t = begin; t < begin + count; ++t) {
      for (int64_t h = 0; h < args.x.dim(1); ++h) {
        rotate(row_of<float>(args.x, t, h), row_of<float>(args.table, t), args.table.dim(1) / 2);
      }
    }
  });
}

void CpuOps::run(const op::MoeCombine& args) {
  const int64_t top_k = args.pair_row.dim(1);
  for_rows(
      args.y.dim(0), (top_k + 1) * args.y.dim(1) * kFloatBytes, [&](int64_t begin, int64_t count) {
        for (int64_t t = begin; t < begin + count; ++t) {
          kernels_.combine(row_of<float>(args.y, t),
                           args.x.data<float>(),
                           args.x.stride(0),
                           row_of<int32_t>(args.pair_row, t),
                           row_of<float>(args.weights, t),
                           top_k,
                           args.y.dim(1));
        }
      });
  if (args.added.defined()) {
    run(op::Add{args.y, args.added});
  }
}

// The rest is bookkeeping and copies with nothing to vectorise: the reference, on pieces of the
// rows where that saves time.

void CpuOps::run(const op::RopeTable& args) {
  constexpr int64_t kSineCost = 64;  // in bytes moved meanwhile
  for_rows(args.table.dim(0), args.table.dim(1) * kSineCost, [&](int64_t begin, int64_t count) {
    ref_.rope_table(args.table.slice(0, begin, count),
                    args.positions.slice(0, begin, count),
                    args.inv_freq,
                    args.scale);
  });
}

void CpuOps::run(const op::WriteKv& args) {
  for_rows(args.x.dim(0), 2 * args.x.dim(1) * kFloatBytes, [&](int64_t begin, int64_t count) {
    ref_.write_kv(args.cache, args.x.slice(0, begin, count), args.kv_places.slice(0, begin, count));
  });
}

void CpuOps::run(const op::GatherKv& args) {
  ref_.gather_kv(args.y, args.cache, args.batch, args.key_begin);
}

void CpuOps::run(const op::GatherRows& args) {
  for_rows(args.y.dim(0), 2 * args.y.dim(1) * kFloatBytes, [&](int64_t begin, int64_t count) {
    ref_.gather_rows(args.y.slice(0, begin, count), args.x, args.rows.slice(0, begin, count));
  });
}

void CpuOps::run(const op::ShardArgmax& args) {
  for_rows(args.logits.dim(0), args.logits.dim(1) * kFloatBytes, [&](int64_t begin, int64_t count) {
    ref_.shard_argmax({.best = args.best.slice(0, begin, count),
                       .logits = args.logits.slice(0, begin, count),
                       .first_id = args.first_id,
                       .limit = args.limit});
  });
}

void CpuOps::run(const op::MergeArgmax& args) {
  ref_.merge_argmax(args);
}

void CpuOps::run(const op::Argmax& args) {
  for_rows(args.logits.dim(0), args.limit * kFloatBytes, [&](int64_t begin, int64_t count) {
    ref_.argmax(args.tokens.slice(0, begin, count), args.logits.slice(0, begin, count), args.limit);
  });
}

void CpuOps::run(const op::Draw& args) {
  constexpr int64_t kSortCost = 64;  // in bytes moved meanwhile
  for_rows(args.logits.dim(0), args.limit * kSortCost, [&](int64_t begin, int64_t count) {
    ref_.draw(args.tokens.slice(0, begin, count),
              args.logits.slice(0, begin, count),
              args.limit,
              args.rows.slice(0, begin, count));
  });
}

void CpuOps::run(const op::LogProbs& args) {
  constexpr int64_t kExpCost = 32;  // in bytes moved meanwhile
  for_rows(args.logits.dim(0), args.limit * kExpCost, [&](int64_t begin, int64_t count) {
    ref_.log_probs(args.ids.slice(0, begin, count),
                   args.values.slice(0, begin, count),
                   args.tokens.slice(0, begin, count),
                   args.logits.slice(0, begin, count),
                   args.limit,
                   args.counts.slice(0, begin, count));
  });
}

void CpuOps::run(const op::AdjustLogits& args) {
  for_rows(args.y.dim(0), 4 * args.limit * kFloatBytes, [&](int64_t begin, int64_t count) {
    ref_.adjust_logits(args.y.slice(0, begin, count),
                       args.logits,
                       args.limit,
                       args.tables,
                       args.rows.slice(0, begin, count));
  });
}

void CpuOps::run(const op::TakeAdjusted& args) {
  ref_.take_adjusted(args.sampled, args.tables, args.tokens, args.rows);
}

void CpuOps::run(const op::FillTokens& args) {
  ref_.fill_tokens(args.tokens, args.last, args.rows);
}

void CpuOps::run(const op::Scatter& args) {
  ref_.scatter(args.y, args.values, args.at);
}

void CpuOps::run(const op::MoeRoute& args) {
  constexpr int64_t kScoreCost = 256;  // exponential and top_k scans, in bytes moved meanwhile
  for_rows(args.logits.dim(0), args.logits.dim(1) * kScoreCost, [&](int64_t begin, int64_t count) {
    ref_.moe_route(args.experts.slice(0, begin, count),
                   args.weights.slice(0, begin, count),
                   args.logits.slice(0, begin, count),
                   args.bias,
                   args.params);
  });
}

void CpuOps::run(const op::MoePermute& args) {
  ref_.moe_permute(args.row_token, args.pair_row, args.offsets, args.experts);
}

}  // namespace tutti
