#include "golden/mutated_ops.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "backend/cpu_backend.h"
#include "golden/forwarding_ops.h"
#include "golden/wrapped_backend.h"
#include "tensor/packed_format.h"

namespace tutti::testing {

namespace {

constexpr std::array<std::pair<Mistake, const char*>, 27> kNames{{
    {Mistake::kNone, "none"},
    {Mistake::kNormsDropped, "norms dropped"},
    {Mistake::kNormWeightsOne, "norm weights ignored"},
    {Mistake::kInnerEpsOuter, "inner norms with the outer epsilon"},
    {Mistake::kHeadNormsDropped, "head norms dropped"},
    {Mistake::kHeadWeightsOne, "head norm weights ignored"},
    {Mistake::kNormsByHead, "norms of every head instead of all together"},
    {Mistake::kHeadEpsDefault, "head norms with the default epsilon"},
    {Mistake::kBiasIgnored, "bias ignored"},
    {Mistake::kRopePairing, "rope pairing"},
    {Mistake::kRopeBase, "rope base"},
    {Mistake::kRopeMultiplierOne, "rope multiplier ignored"},
    {Mistake::kGeluOther, "gelu of the other kind"},
    {Mistake::kLayerMeanKept, "mean kept"},
    {Mistake::kSoftmaxScale, "softmax scale"},
    {Mistake::kKvHeads, "KV head mapping"},
    {Mistake::kOwnKeyUnseen, "attention one key short"},
    {Mistake::kRouterNormalize, "normalisation of expert weights"},
    {Mistake::kRouterScaleOne, "routed scaling ignored"},
    {Mistake::kRouterBiasIgnored, "selection bias ignored"},
    {Mistake::kRouterGroupsOff, "expert groups ignored"},
    {Mistake::kRouterMaskZero, "group mask 0"},
    {Mistake::kRouterScoring, "router scoring"},
    {Mistake::kSharedScaled, "shared experts scaled"},
    {Mistake::kScaleBlocksFirst, "scale blocks of the first rows"},
    {Mistake::kScaleGroupsWide, "scale groups twice as wide"},
    {Mistake::kNibblesSwapped, "nibbles swapped"},
}};

bool packed(const WeightView& weight) {
  return &weight.format() == &packed_format({.bits = 4});
}

WeightFormat with_nibbles_swapped() {
  WeightFormat format = packed_format({.bits = 4});
  format.dequantise = [](const WeightRow& row, int64_t count, float* out) {
    for (int64_t col = row.col; col < row.col + count; ++col) {
      WeightRow one = row;  // from the entries of the column on: a pair shares word and group
      one.planes[0] += (col / 8 - row.col / 8) * 4;
      one.planes[1] += (col / row.cells[1].cols - row.col / row.cells[1].cols) * 2;
      one.col = col ^ 1;
      packed_format({.bits = 4}).dequantise(one, 1, out + (col - row.col));
    }
  };
  return format;
}

// The weights of the experts chosen with 0 in place of -inf, sigmoid scoring; f32 as the real op.
// In host memory only.
void route_with_zero_mask(TensorView experts,
                          TensorView weights,
                          ConstTensorView logits,
                          ConstTensorView bias,
                          const RouterParams& p) {
  const int64_t count = logits.dim(1);
  const int64_t size = count / p.num_groups;
  for (int64_t t = 0; t < logits.dim(0); ++t) {
    std::vector<float> score;
    std::vector<float> choice;
    for (int64_t e = 0; e < count; ++e) {
      score.push_back(1.0F / (1.0F + std::exp(-logits.at(t).data<float>()[e])));
      choice.push_back(score.back() + bias.data<float>()[e]);
    }
    std::vector<std::pair<float, int64_t>> groups;
    for (int64_t g = 0; g < p.num_groups; ++g) {
      std::vector<float> of(choice.begin() + g * size, choice.begin() + (g + 1) * size);
      std::sort(of.rbegin(), of.rend());
      groups.emplace_back(of[0] + of[1], g);
    }
    std::sort(groups.rbegin(), groups.rend());
    for (int64_t i = p.top_groups; i < p.num_groups; ++i) {
      std::fill_n(choice.begin() + groups[usize(i)].second * size, size, 0.0F);
    }
    std::vector<int64_t> order(usize(count));
    std::iota(order.begin(), order.end(), int64_t{0});
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return choice[usize(a)] > choice[usize(b)];
    });
    float sum = 0;
    for (int64_t k = 0; k < p.top_k; ++k) {
      sum += score[usize(order[usize(k)])];
    }
    for (int64_t k = 0; k < p.top_k; ++k) {
      const int64_t expert = order[usize(k)];
      experts.at(t).data<int32_t>()[k] = narrow<int32_t>(expert);
      weights.at(t).data<float>()[k] = score[usize(expert)] / (p.normalize ? sum : 1.0F) * p.scale;
    }
  }
}

// Wrong in one way on any device: tensors that a mistake changes pass through the host, so that
// steps with it cannot be recorded.
class MutatedOps final : public ForwardingOps {
 public:
  MutatedOps(std::unique_ptr<Ops> inner, Device& device, Stream& stream, Mistake mistake)
      : ForwardingOps(std::move(inner)), device_(device), stream_(stream), mistake_(mistake) {}

 private:
  void execute(const OpCall& op) override {
    op.visit([this](const auto& args) { run(args); });
  }

  template <class Op>
  void run(const Op& args) {
    inner().call(args);
  }

  bool is(Mistake mistake) const { return mistake_ == mistake; }

  // On the device, [values] of their type; kept, for what is queued reads it later.
  template <class T>
  ConstTensorView to_device(const std::vector<T>& values) {
    const Shape shape{ssize(values)};
    kept_.push_back(Tensor::empty(device_, DTypeOf<T>::kValue, shape, "test tensor").value());
    const TensorView view = kept_.back().view();
    checked(device_.copy_from_host(view.raw(), values.data(), view.bytes(), stream_));
    return view;
  }

  // A vector of one value, made once.
  ConstTensorView all(float value, int64_t n) {
    ConstTensorView& view = constants_[{value, n}];
    return view.defined() ? view : view = to_device(std::vector<float>(usize(n), value));
  }

  // The values of a contiguous vector.
  template <class T>
  std::vector<T> to_host(ConstTensorView from) {
    std::vector<T> out(usize(from.dim(0)));
    checked(device_.copy_to_host(out.data(), from.raw(), from.bytes(), stream_));
    checked(stream_.synchronize());
    return out;
  }

  static void checked(const Status& status) { TUTTI_CHECK(status.ok()); }

  // A norm with so large an epsilon and weight that it only copies, up to f32's rounding.
  void copy_as_norm(TensorView y, ConstTensorView x) {
    inner().rms_norm(y, x, all(1e6F, x.dim(-1)), 1e12F);
  }

  WeightView changed(WeightView weight) {
    if (is(Mistake::kScaleBlocksFirst) && !weight.format().dense()) {
      weight.layout.cells[1].rows = weight.rows();
      ConstTensorView& scales = weight.planes[1];
      scales = scales.slice(scales.rank() - 2, 0, std::min<int64_t>(1, scales.dim(-2)));
    }
    if (is(Mistake::kScaleGroupsWide) && packed(weight)) {
      weight.layout.cells[1].cols *= 2;
      ConstTensorView& scales = weight.planes[1];
      scales = scales.slice(scales.rank() - 1, 0, (scales.dim(-1) + 1) / 2);
    }
    if (is(Mistake::kNibblesSwapped) && packed(weight)) {
      static const WeightFormat swapped = with_nibbles_swapped();
      weight.layout.format = &swapped;
    }
    return weight;
  }

  RopeLayout changed(RopeLayout layout) const {
    if (!is(Mistake::kRopePairing)) {
      return layout;
    }
    return layout == RopeLayout::kHalfSplit ? RopeLayout::kInterleaved : RopeLayout::kHalfSplit;
  }

  ConstTensorView changed_bias(ConstTensorView bias) const {
    return is(Mistake::kBiasIgnored) ? ConstTensorView() : bias;
  }

  float changed_scale(float scale) const {
    return is(Mistake::kSoftmaxScale) ? 1.3F * scale : scale;
  }

  void run(op::RmsNorm args) {
    const bool heads = args.x.rank() == 3;
    const bool inside = !heads && args.y.raw() == args.x.raw();
    if (heads && is(Mistake::kHeadNormsDropped)) {
      return;  // in place
    }
    if (!heads && is(Mistake::kNormsDropped)) {
      copy_as_norm(args.y, args.x);
      return;
    }
    if (is(heads ? Mistake::kHeadWeightsOne : Mistake::kNormWeightsOne)) {
      args.weight = all(1.0F, args.x.dim(-1));
    }
    if (heads && is(Mistake::kHeadEpsDefault)) {
      args.eps = 1e-6F;
    }
    if (inside && is(Mistake::kInnerEpsOuter)) {
      args.eps = 1e-5F;
    }
    inner().rms_norm(args.y, args.x, args.weight, args.eps);
  }

  void run(op::LayerNorm args) {
    if (is(Mistake::kNormsDropped) || is(Mistake::kLayerMeanKept)) {
      // Both keep the bias away too.
      if (is(Mistake::kNormsDropped)) {
        copy_as_norm(args.y, args.x);
      } else {
        inner().rms_norm(args.y, args.x, args.weight, args.eps);
      }
      return;
    }
    if (is(Mistake::kNormWeightsOne)) {
      args.weight = all(1.0F, args.x.dim(-1));
    }
    if (is(Mistake::kBiasIgnored)) {
      args.bias = {};
    }
    inner().call(args);
  }

  void run(op::GeluMul args) {
    args.tanh = is(Mistake::kGeluOther) ? !args.tanh : args.tanh;
    inner().call(args);
  }

  void run(op::AddRmsNorm args) {
    if (is(Mistake::kNormsDropped)) {
      inner().add(args.residual, args.x);
      copy_as_norm(args.y, args.residual);
      return;
    }
    if (is(Mistake::kNormWeightsOne)) {
      args.weight = all(1.0F, args.x.dim(-1));
    }
    inner().add_rms_norm(args.y, args.residual, args.x, args.weight, args.eps);
  }

  void run(op::Linear args) {
    inner().linear(args.y, args.x, changed(args.weight), changed_bias(args.bias), args.scratch);
  }

  void run(op::GatedLinear args) {
    inner().gated_linear(
        args.y, args.x, changed(args.weight), changed_bias(args.bias), args.scratch);
  }

  void run(op::GroupedLinear args) {
    inner().grouped_linear(args.y, args.x, changed(args.weight), args.offsets, args.scratch);
  }

  void run(op::GroupedGatedLinear args) {
    args.weight = changed(args.weight);
    if (args.beside.y.defined()) {
      args.beside.weight = changed(args.beside.weight);
    }
    inner().call(args);
  }

  void run(op::GroupedLinearCombine args) {
    if (is(Mistake::kSharedScaled)) {
      return run_in_parts(*this, args);
    }
    args.weight = changed(args.weight);
    if (args.beside.y.defined()) {
      args.beside.weight = changed(args.beside.weight);
    }
    inner().call(args);
  }

  void run(op::BatchedLinear args) { inner().batched_linear(args.y, args.x, changed(args.weight)); }

  void run(op::RopeTable args) {
    if (is(Mistake::kRopeBase)) {
      std::vector<float> changed = to_host<float>(args.inv_freq);
      for (size_t i = 0; i < changed.size(); ++i) {
        changed[i] *= std::pow(10.0F, -static_cast<float>(i) / static_cast<float>(changed.size()));
      }
      args.inv_freq = to_device(changed);
    }
    inner().rope_table(args.table,
                       args.positions,
                       args.inv_freq,
                       is(Mistake::kRopeMultiplierOne) ? 1.0F : args.scale);
  }

  void run(op::Rope args) { inner().rope(args.x, args.table, changed(args.layout)); }

  void run(op::RopeAndWriteKv args) {
    args.layout = changed(args.layout);
    if (args.q_norm.defined()) {
      const bool by_head = args.squares.defined() && is(Mistake::kNormsByHead);
      if (by_head) {
        norm_by_head(args.q, args.q_norm, args.norm_eps);
        norm_by_head(args.k, args.k_norm, args.norm_eps);
      }
      if (by_head || is(Mistake::kHeadNormsDropped)) {
        args.q_norm = {};
        args.k_norm = {};
        args.squares = {};
      } else if (is(Mistake::kHeadWeightsOne)) {
        args.q_norm = all(1.0F, args.q_norm.dim(0));
        args.k_norm = all(1.0F, args.k_norm.dim(0));
      } else if (is(Mistake::kHeadEpsDefault)) {
        args.norm_eps = 1e-6F;
      }
    }
    inner().call(args);
  }

  void norm_by_head(TensorView heads, ConstTensorView weight, float eps) {
    const int64_t d = heads.dim(2);
    for (int64_t h = 0; h < heads.dim(1); ++h) {
      const TensorView head = heads.slice(1, h, 1);
      inner().rms_norm(head, head, weight.slice(0, h * d, d), eps);
    }
  }

  void run(op::Attention args) {
    if (is(Mistake::kKvHeads)) {
      attend_to_other_heads(args.out, args.q, args.k_cache, args.v_cache, args.batch, args.scale);
      return;
    }
    AttentionBatch seen = args.batch;
    if (is(Mistake::kOwnKeyUnseen)) {
      std::vector<int32_t> before = to_host<int32_t>(args.batch.context_before);
      for (int32_t& count : before) {
        count = std::max(count - 1, 0);  // a first row has no other key
      }
      seen.context_before = to_device(before);
    }
    inner().attention(
        args.out, args.q, args.k_cache, args.v_cache, seen, changed_scale(args.scale));
  }

  // The op gives KV head j / group to query head j; heads moved to such places read the wrong one.
  void attend_to_other_heads(TensorView out,
                             ConstTensorView q,
                             ConstTensorView k_cache,
                             ConstTensorView v_cache,
                             const AttentionBatch& batch,
                             float scale) {
    const int64_t heads = q.dim(1);
    const int64_t kv_heads = k_cache.dim(2) / q.dim(2);
    std::vector<int64_t> place;
    for (int64_t h = 0; h < heads; ++h) {
      place.push_back(h % kv_heads * (heads / kv_heads) + h / kv_heads);
    }
    const Tensor moved = Tensor::empty(device_, q.dtype(), q.shape(), "test heads").value();
    const Tensor result = Tensor::empty(device_, q.dtype(), q.shape(), "test heads").value();
    for (int64_t t = 0; t < q.dim(0); ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        copy(moved.view().at(t).at(place[usize(h)]), q.at(t).at(h));
      }
    }
    inner().attention(result.view(), moved.view(), k_cache, v_cache, batch, scale);
    for (int64_t t = 0; t < q.dim(0); ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        copy(out.at(t).at(h), result.view().at(t).at(place[usize(h)]));
      }
    }
    checked(stream_.synchronize());  // before the memory goes
  }

  // One vector, through the host.
  void copy(TensorView to, ConstTensorView from) {
    std::vector<std::byte> bytes(usize(from.bytes()));
    checked(device_.copy_to_host(bytes.data(), from.raw(), from.bytes(), stream_));
    checked(stream_.synchronize());
    checked(device_.copy_from_host(to.raw(), bytes.data(), to.bytes(), stream_));
  }

  void run(op::MlaAttention args) {
    inner().mla_attention(
        args.out, args.q_latent, args.q_rope, args.cache, args.batch, changed_scale(args.scale));
  }

  // In parts, which make the mistakes.
  void run(op::WriteLatent args) { run_in_parts(*this, args); }

  void run(op::RopeAndMlaAttention args) { run_in_parts(*this, args); }

  void run(op::MlaExpandedAttention args) {
    inner().mla_expanded_attention(args.out,
                                   args.q,
                                   args.kv,
                                   args.k_rope,
                                   args.batch,
                                   args.key_begin,
                                   changed_scale(args.scale));
  }

  RouterParams changed(RouterParams p) const {
    if (is(Mistake::kRouterNormalize)) {
      p.normalize = !p.normalize;
    }
    if (is(Mistake::kRouterScaleOne)) {
      p.scale = 1.0F;
    }
    if (is(Mistake::kRouterGroupsOff)) {
      p.num_groups = 1;
      p.top_groups = 1;
    }
    if (is(Mistake::kRouterScoring)) {
      p.scoring =
          p.scoring == RouterScoring::kSigmoid ? RouterScoring::kSoftmax : RouterScoring::kSigmoid;
    }
    return p;
  }

  ConstTensorView changed_router_bias(ConstTensorView bias) const {
    return is(Mistake::kRouterBiasIgnored) ? ConstTensorView() : bias;
  }

  void run(op::MoeRoute args) {
    if (is(Mistake::kRouterMaskZero)) {
      TUTTI_CHECK(device_.kind() == DeviceKind::kCpu);
      route_with_zero_mask(args.experts, args.weights, args.logits, args.bias, args.params);
      return;
    }
    args.params = changed(args.params);
    args.bias = changed_router_bias(args.bias);
    inner().call(args);
  }

  void run(op::MoeAssign args) {
    if (is(Mistake::kRouterMaskZero)) {
      return run_in_parts(*this, args);
    }
    args.params = changed(args.params);
    args.bias = changed_router_bias(args.bias);
    inner().call(args);
  }

  void run(op::MoeCombine args) {
    inner().call(args);
    if (args.added.defined() && is(Mistake::kSharedScaled)) {
      inner().add(args.y, args.added);
    }
  }

  Device& device_;
  Stream& stream_;
  Mistake mistake_;
  std::vector<Tensor> kept_;
  std::map<std::pair<float, int64_t>, ConstTensorView> constants_;
};

}  // namespace

const char* mistake_name(Mistake mistake) {
  const auto* const it = std::find_if(
      kNames.begin(), kNames.end(), [&](const auto& entry) { return entry.first == mistake; });
  return it->second;
}

std::unique_ptr<Backend> make_mutated_backend(std::unique_ptr<Backend> inner, Mistake mistake) {
  return std::make_unique<WrappedBackend>(std::move(inner), [mistake](RankResources& rank) {
    return std::make_unique<MutatedOps>(std::move(rank.ops), *rank.device, *rank.stream, mistake);
  });
}

std::unique_ptr<Backend> make_mutated_cpu_backend(Mistake mistake) {
  return make_mutated_backend(make_cpu_backend({.threads = 1}), mistake);
}

}  // namespace tutti::testing
