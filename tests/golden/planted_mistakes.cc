#include "golden/planted_mistakes.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "golden/forwarding_ops.h"
#include "golden/wrapped_backend.h"

namespace tutti::testing {

namespace {

// Copies of arguments that a mistake changes; of one call.
class Scratch {
 public:
  void clear() { kept_.clear(); }

  /// Contiguous.
  template <class T>
  TensorView copy(ConstTensorView from) {
    std::vector<std::byte>& bytes = kept_.emplace_back(usize(from.bytes()));
    const TensorView to(bytes.data(), from.dtype(), from.shape());
    copy_into<T>(to, from);
    return to;
  }

 private:
  template <class T>
  static void copy_into(TensorView to, ConstTensorView from) {
    if (from.rank() > 1) {
      for (int64_t i = 0; i < from.dim(0); ++i) {
        copy_into<T>(to.at(i), from.at(i));
      }
    } else {
      std::copy_n(from.data<T>(), from.dim(0), to.data<T>());
    }
  }

  std::vector<std::vector<std::byte>> kept_;
};

// f(row, width) for every innermost row.
template <class T, class F>
void for_each_row(TensorView x, const F& f) {
  if (x.rank() > 1) {
    for (int64_t i = 0; i < x.dim(0); ++i) {
      for_each_row<T>(x.at(i), f);
    }
  } else {
    f(x.data<T>(), x.dim(0));
  }
}

class PlantedOps final : public ForwardingOps {
 public:
  PlantedOps(std::unique_ptr<Ops> inner, const PlantedOptions& options)
      : ForwardingOps(std::move(inner)), options_(options) {}

 private:
  void execute(const OpCall& op) override {
    op.visit([this](const auto& args) {
      if constexpr (requires { run_in_parts(*this, args); }) {
        if (options_.in_parts) {
          run_in_parts(*this, args);
          return;
        }
      }
      if (options_.seen != nullptr) {
        options_.seen->add(args.kName);
      }
      if (options_.mistake == args.kName) {
        scratch_.clear();
        wrong(args);
      } else {
        inner().call(args);
      }
    });
  }

  template <class Op>
  void wrong(const Op& args) {
    inner().call(args);
  }

  // The last eighth of every row is not read: the tail of a kernel's loop.
  ConstTensorView without_tail(ConstTensorView x) {
    const TensorView cut = scratch_.copy<float>(x);
    for_each_row<float>(cut, [](float* row, int64_t width) {
      std::fill(row + width - std::max<int64_t>(1, width / 8), row + width, 0.0F);
    });
    return cut;
  }

  // The weight of the next column.
  ConstTensorView shifted(ConstTensorView weight) {
    const TensorView moved = scratch_.copy<float>(weight);
    for_each_row<float>(moved,
                        [](float* row, int64_t width) { std::rotate(row, row + 1, row + width); });
    return moved;
  }

  // Every matrix takes one row too many from the next one's.
  ConstTensorView late(ConstTensorView offsets) {
    const TensorView moved = scratch_.copy<int32_t>(offsets);
    auto* begin = moved.data<int32_t>();
    const int64_t groups = moved.dim(0) - 1;
    for (int64_t g = 1; g < groups; ++g) {
      begin[g] = std::min(begin[g] + 1, begin[groups]);
    }
    return moved;
  }

  static RopeLayout other(RopeLayout layout) {
    return layout == RopeLayout::kHalfSplit ? RopeLayout::kInterleaved : RopeLayout::kHalfSplit;
  }

  // The worst experts.
  ConstTensorView negated(ConstTensorView logits) {
    const TensorView changed = scratch_.copy<float>(logits);
    for_each_row<float>(changed, [](float* row, int64_t width) {
      std::transform(row, row + width, row, std::negate<>());
    });
    return changed;
  }

  void wrong(op::Embedding args) {
    ++args.first_id;
    inner().call(args);
  }

  void wrong(op::RmsNorm args) {
    args.weight = shifted(args.weight);
    inner().call(args);
  }

  void wrong(op::AddRmsNorm args) {
    args.weight = shifted(args.weight);
    inner().call(args);
  }

  void wrong(op::LayerNorm args) {
    args.weight = shifted(args.weight);
    inner().call(args);
  }

  void wrong(op::GeluMul args) {
    std::swap(args.gate, args.up);
    inner().call(args);
  }

  void wrong(op::SumSquares args) {
    args.x = without_tail(args.x);
    inner().call(args);
  }

  void wrong(op::NormPart args) {
    args.weight = shifted(args.weight);
    inner().call(args);
  }

  void wrong(const op::Add& /*args*/) {}

  void wrong(op::Linear args) {
    args.x = without_tail(args.x);
    inner().call(args);
  }

  void wrong(op::GatedLinear args) {
    args.x = without_tail(args.x);
    inner().call(args);
  }

  void wrong(op::BatchedLinear args) {
    args.x = without_tail(args.x);
    inner().call(args);
  }

  void wrong(op::GroupedLinear args) {
    args.offsets = late(args.offsets);
    inner().call(args);
  }

  void wrong(op::GroupedGatedLinear args) {
    args.offsets = late(args.offsets);
    inner().call(args);
  }

  void wrong(op::SiluMul args) {
    std::swap(args.gate, args.up);
    inner().call(args);
  }

  void wrong(op::RopeTable args) {
    const TensorView slower = scratch_.copy<float>(args.inv_freq);
    for_each_row<float>(slower, [](float* row, int64_t width) {
      std::transform(row, row + width, row, [](float f) { return 0.5F * f; });
    });
    args.inv_freq = slower;
    inner().call(args);
  }

  void wrong(op::Rope args) {
    args.layout = other(args.layout);
    inner().call(args);
  }

  void wrong(op::RopeAndWriteKv args) {
    args.layout = other(args.layout);
    inner().call(args);
  }

  // The last row is lost.
  void wrong(op::WriteKv args) {
    const TensorView places = scratch_.copy<int32_t>(args.kv_places);
    if (places.dim(0) > 0) {
      places.data<int32_t>()[places.dim(0) - 1] = -1;
    }
    args.kv_places = places;
    inner().call(args);
  }

  void wrong(op::Attention args) {
    args.scale *= 1.3F;
    inner().call(args);
  }

  void wrong(op::WriteLatent args) {
    args.layout = other(args.layout);
    inner().call(args);
  }

  void wrong(op::MlaAttention args) {
    args.scale *= 1.3F;
    inner().call(args);
  }

  void wrong(op::RopeAndMlaAttention args) {
    args.scale *= 1.3F;
    inner().call(args);
  }

  void wrong(op::MlaExpandedAttention args) {
    args.scale *= 1.3F;
    inner().call(args);
  }

  // Every row is that of the position before.
  void wrong(const op::GatherKv& args) {
    inner().call(args);
    for (int64_t i = args.y.dim(0) - 1; i > 0; --i) {
      std::copy_n(args.y.at(i - 1).data<float>(), args.y.dim(1), args.y.at(i).data<float>());
    }
  }

  void wrong(op::MoeRoute args) {
    args.logits = negated(args.logits);
    inner().call(args);
  }

  void wrong(op::MoeAssign args) {
    args.logits = negated(args.logits);
    inner().call(args);
  }

  // Every sorted row is of the token of the next one.
  void wrong(const op::MoePermute& args) {
    inner().call(args);
    auto* tokens = args.row_token.data<int32_t>();
    const int64_t count = args.row_token.dim(0);
    if (count > 0) {
      std::rotate(tokens, tokens + 1, tokens + count);
    }
  }

  // The last expert of every token is left out.
  void wrong(op::MoeCombine args) {
    const TensorView fewer = scratch_.copy<float>(args.weights);
    for_each_row<float>(fewer, [](float* row, int64_t width) { row[width - 1] = 0.0F; });
    args.weights = fewer;
    inner().call(args);
  }

  void wrong(op::GroupedLinearCombine args) {
    const TensorView fewer = scratch_.copy<float>(args.weights);
    for_each_row<float>(fewer, [](float* row, int64_t width) { row[width - 1] = 0.0F; });
    args.weights = fewer;
    inner().call(args);
  }

  void wrong(op::GatherRows args) {
    const TensorView before = scratch_.copy<int32_t>(args.rows);
    for_each_row<int32_t>(before, [](int32_t* row, int64_t width) {
      std::transform(row, row + width, row, [](int32_t r) { return std::max(r - 1, 0); });
    });
    args.rows = before;
    inner().call(args);
  }

  void wrong(op::Argmax args) {
    args.limit = std::max<int64_t>(1, args.limit / 2);
    inner().call(args);
  }

  void wrong(op::ShardArgmax args) {
    ++args.first_id;
    inner().call(args);
  }

  // What the first rank found.
  void wrong(op::MergeArgmax args) {
    args.best = args.best.slice(1, 0, 2);
    inner().call(args);
  }

  void wrong(const op::FillTokens& /*args*/) {}

  void wrong(const op::Scatter& /*args*/) {}

  PlantedOptions options_;
  Scratch scratch_;
};

class PlantedCommunicator final : public Communicator {
 public:
  PlantedCommunicator(std::unique_ptr<Communicator> inner, const PlantedOptions& options)
      : inner_(std::move(inner)), options_(options) {}

  int rank() const override { return inner_->rank(); }

  int size() const override { return inner_->size(); }

  // The last rank's part is missing.
  void all_reduce_sum(TensorView x) override {
    if (called("all_reduce_sum")) {
      drop_last_part(x);
    }
    inner_->all_reduce_sum(x);
  }

  // Every column is that of the next one.
  void all_gather_columns(TensorView out,
                          ConstTensorView in,
                          std::span<const int64_t> widths) override {
    const bool wrong = called("all_gather_columns");
    inner_->all_gather_columns(out, in, widths);
    if (wrong) {
      for_each_row<float>(
          out, [](float* row, int64_t width) { std::rotate(row, row + 1, row + width); });
    }
  }

  void exchange_rows(const ExchangeRows& args) override {
    called("exchange_rows");
    inner_->exchange_rows(args);
  }

  void broadcast(const Broadcast& args) override {
    called("broadcast");
    inner_->broadcast(args);
  }

  // As a backend would that has it; the last rank's part is missing.
  bool all_reduce_add_rms_norm(const AllReduceAddRmsNorm& args) override {
    if (size() == 1) {
      return false;
    }
    if (called("all_reduce_add_rms_norm")) {
      drop_last_part(args.x);
    }
    inner_->all_reduce_sum(args.x);
    const auto* weight = args.weight.data<float>();
    for (int64_t t = 0; t < args.x.dim(0); ++t) {
      auto* residual = args.residual.at(t).data<float>();
      auto* y = args.y.at(t).data<float>();
      const auto* x = args.x.at(t).data<float>();
      const int64_t width = args.x.dim(1);
      double squares = 0;
      for (int64_t i = 0; i < width; ++i) {
        residual[i] += x[i];
        squares += static_cast<double>(residual[i]) * static_cast<double>(residual[i]);
      }
      const double scale =
          1.0 / std::sqrt(squares / static_cast<double>(width) + static_cast<double>(args.eps));
      for (int64_t i = 0; i < width; ++i) {
        const float value = static_cast<float>(residual[i] * scale) * weight[i];
        y[i] = options_.rounds ? to_float(to_bf16(value)) : value;
      }
    }
    return true;
  }

  void barrier() override { inner_->barrier(); }

 private:
  /// Whether this call is the wrong one.
  bool called(const char* name) {
    if (options_.seen != nullptr && size() > 1) {
      options_.seen->add(name);
    }
    return size() > 1 && options_.mistake == name;
  }

  void drop_last_part(TensorView x) const {
    if (rank() == size() - 1) {
      for_each_row<float>(x, [](float* row, int64_t width) { std::fill_n(row, width, 0.0F); });
    }
  }

  std::unique_ptr<Communicator> inner_;
  PlantedOptions options_;
};

}  // namespace

std::unique_ptr<Backend> make_planted_backend(std::unique_ptr<Backend> inner,
                                              const PlantedOptions& options) {
  return std::make_unique<WrappedBackend>(std::move(inner), [options](RankResources& rank) {
    rank.tp = std::make_unique<PlantedCommunicator>(std::move(rank.tp), options);
    return std::make_unique<PlantedOps>(std::move(rank.ops), options);
  });
}

}  // namespace tutti::testing
