// Mixture of experts: routing, sorting by expert, combining.
#pragma once
#include "ops/cases_rows.h"
#include "ops/op_case.h"

namespace tutti::test {

struct RouteShape {
  int64_t tokens = 1;
  int64_t experts = 8;
  RouterParams params;
  bool bias = true;
  bool ties = false;  ///< logits from a few values, so that ties decide
  bool nans = false;
};

inline OpCase moe_route_case(const RouteShape& s) {
  const RouterParams& p = s.params;
  OpCase c{.name = std::string("moe_route ") +
                   (p.scoring == RouterScoring::kSigmoid ? "sigmoid" : "softmax") + " t" +
                   std::to_string(s.tokens) + " e" + std::to_string(s.experts) + " top" +
                   std::to_string(p.top_k) + " groups " + std::to_string(p.top_groups) + "/" +
                   std::to_string(p.num_groups) + (s.bias ? " bias" : "") +
                   (s.ties ? " ties" : "") + (s.nans ? " nan" : "")};
  c.tolerance = rounding_tolerance();
  c.bytes = 4.0 * static_cast<double>(s.tokens * s.experts);
  c.prepare = [s](PreparedOp& op) {
    HostTensor logits = normal({s.tokens, s.experts}, 1, 3);
    for (int64_t i = 0; s.ties && i < s.tokens * (s.experts + 3); ++i) {
      logits.set(i, std::round(logits.data<float>()[i]));
    }
    for (int64_t i = 0; s.nans && i < s.tokens * (s.experts + 3); i += 3) {
      logits.set(i, std::numeric_limits<float>::quiet_NaN());
    }
    const TensorView experts = op.output(HostTensor(DType::kI32, {s.tokens, s.params.top_k}));
    const TensorView weights = op.output(HostTensor(DType::kF32, {s.tokens, s.params.top_k}));
    const TensorView logit_view = op.input(std::move(logits));
    const TensorView bias = s.bias && !s.ties ? op.input(normal({s.experts}, 2)) : TensorView{};
    op.set_call([=](Ops& ops) { ops.moe_route(experts, weights, logit_view, bias, s.params); });
  };
  return c;
}

inline HostTensor chosen_experts(int64_t tokens, int64_t top_k, int64_t experts) {
  HostTensor chosen(DType::kI32, {tokens, top_k});
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t j = 0; j < top_k; ++j) {
      chosen.data<int32_t>()[t * top_k + j] = narrow<int32_t>((t * t + j * 3) % experts);
    }
  }
  return chosen;
}

inline OpCase moe_permute_case(int64_t tokens, int64_t top_k, int64_t experts) {
  OpCase c{.name = "moe_permute t" + std::to_string(tokens) + " top" + std::to_string(top_k) +
                   " e" + std::to_string(experts),
           .tolerance = exact()};
  c.bytes = 12.0 * static_cast<double>(tokens * top_k);
  c.prepare = [=](PreparedOp& op) {
    const TensorView row_token = op.output(HostTensor(DType::kI32, {tokens * top_k}));
    const TensorView pair_row = op.output(HostTensor(DType::kI32, {tokens, top_k}));
    const TensorView offsets = op.output(HostTensor(DType::kI32, {experts + 1}));
    const TensorView chosen = op.input(chosen_experts(tokens, top_k, experts));
    op.set_call([=](Ops& ops) { ops.moe_permute(row_token, pair_row, offsets, chosen); });
  };
  return c;
}

/// Routing and sorting at once.
inline OpCase moe_assign_case(const RouteShape& s) {
  OpCase c = moe_route_case(s);
  c.name = "assign " + c.name;
  c.prepare = [s](PreparedOp& op) {
    HostTensor logits = normal({s.tokens, s.experts}, 1, 3);
    for (int64_t i = 0; s.ties && i < s.tokens * (s.experts + 3); ++i) {
      logits.set(i, std::round(logits.data<float>()[i]));
    }
    for (int64_t i = 0; s.nans && i < s.tokens * (s.experts + 3); i += 3) {
      logits.set(i, std::numeric_limits<float>::quiet_NaN());
    }
    const int64_t top_k = s.params.top_k;
    op::MoeAssign call{.experts = op.output(HostTensor(DType::kI32, {s.tokens, top_k})),
                       .weights = op.output(HostTensor(DType::kF32, {s.tokens, top_k})),
                       .row_token = op.output(HostTensor(DType::kI32, {s.tokens * top_k})),
                       .pair_row = op.output(HostTensor(DType::kI32, {s.tokens, top_k})),
                       .offsets = op.output(HostTensor(DType::kI32, {s.experts + 1})),
                       .logits = op.input(std::move(logits)),
                       .bias = s.bias && !s.ties ? op.input(normal({s.experts}, 2)) : TensorView{},
                       .params = s.params};
    op.set_call([=](Ops& ops) { ops.call(call); });
  };
  return c;
}

inline OpCase moe_combine_case(
    int64_t tokens, int64_t top_k, int64_t d, int64_t gap, bool added = false) {
  OpCase c{.name =
               shape_name(added ? "moe_combine and add" : "moe_combine", {tokens, top_k, d}, gap)};
  c.tolerance = sum_tolerance(top_k);
  c.bytes = f32_bytes({tokens, top_k + 1, d}, 1);
  c.flops = 2.0 * static_cast<double>(tokens * top_k * d);
  c.prepare = [=](PreparedOp& op) {
    HostTensor rows(DType::kI32, {tokens, top_k});
    for (int64_t i = 0; i < tokens * top_k; ++i) {
      rows.data<int32_t>()[i] = narrow<int32_t>(tokens * top_k - 1 - i);
    }
    const TensorView y = op.act_output(HostTensor(DType::kF32, {tokens, d}, gap));
    const TensorView x = op.act_input(normal({tokens * top_k, d}, 1, gap));
    const TensorView pair_row = op.input(std::move(rows));
    const TensorView weights = op.input(normal({tokens, top_k}, 2));
    const TensorView shared = added ? op.act_input(normal({tokens, d}, 3, gap)) : TensorView{};
    op.set_call([=](Ops& ops) { ops.call(op::MoeCombine{y, x, pair_row, weights, shared}); });
  };
  return c;
}

inline std::vector<OpCase> moe_cases() {
  std::vector<OpCase> cases;
  for (const RouterScoring scoring : {RouterScoring::kSigmoid, RouterScoring::kSoftmax}) {
    for (const int64_t tokens : {0, 1, 3, 8, 33}) {
      const RouterParams grouped{
          .scoring = scoring, .top_k = 8, .num_groups = 8, .top_groups = 4, .scale = 2.5F};
      cases.push_back(moe_route_case({.tokens = tokens, .experts = 256, .params = grouped}));
      cases.push_back(
          moe_route_case({.tokens = tokens, .experts = 64, .params = grouped, .nans = true}));
      const RouterParams plain{.scoring = scoring, .top_k = 3, .normalize = false};
      cases.push_back(
          moe_route_case({.tokens = tokens, .experts = 7, .params = plain, .bias = false}));
      cases.push_back(
          moe_route_case({.tokens = tokens, .experts = 16, .params = plain, .ties = true}));
      const RouterParams singles{.scoring = scoring, .top_k = 2, .num_groups = 4, .top_groups = 2};
      cases.push_back(moe_route_case({.tokens = tokens, .experts = 4, .params = singles}));
      const RouterParams r1{.scoring = scoring, .top_k = 8, .num_groups = 8, .top_groups = 4};
      const RouterParams top8{.scoring = scoring, .top_k = 8};
      cases.push_back(moe_assign_case({.tokens = tokens, .experts = 256, .params = r1}));
      cases.push_back(
          moe_assign_case({.tokens = tokens, .experts = 256, .params = r1, .ties = true}));
      cases.push_back(
          moe_assign_case({.tokens = tokens, .experts = 256, .params = r1, .nans = true}));
      for (const int64_t experts : {8, 128, 384}) {
        cases.push_back(moe_assign_case({.tokens = tokens, .experts = experts, .params = top8}));
        cases.push_back(moe_assign_case(
            {.tokens = tokens, .experts = experts, .params = top8, .bias = false, .ties = true}));
      }
    }
  }
  for (const int64_t tokens : {0, 1, 50}) {
    cases.push_back(moe_permute_case(tokens, 1, 1));
    cases.push_back(moe_permute_case(tokens, 4, 9));
    cases.push_back(moe_permute_case(tokens, 2, 300));
    cases.push_back(moe_permute_case(30 * tokens, 8, 384));
    for (const int64_t d : {1, 17, 64, 200}) {
      cases.push_back(moe_combine_case(tokens, 1, d, 0));
      cases.push_back(moe_combine_case(tokens, 8, d, 3));
      cases.push_back(moe_combine_case(tokens, 8, d, 8, true));
    }
  }
  return cases;
}

inline std::vector<OpCase> moe_bench_cases() {
  const RouterParams params{.top_k = 8, .num_groups = 8, .top_groups = 4, .scale = 2.5F};
  return {moe_route_case({.tokens = 1, .experts = 256, .params = params}),
          moe_route_case({.tokens = 256, .experts = 256, .params = params}),
          moe_permute_case(256, 8, 256),
          moe_combine_case(256, 8, 7168, 0)};
}

}  // namespace tutti::test
