#include "plan/planner.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "base/checked.h"
#include "engine/ranks/memory_rules.h"
#include "plan/advice.h"

namespace tutti {

namespace {

// A machine without GPUs: one rank on the CPU, in the host's memory.
constexpr double kCpuBytesPerSecond = 10e9;       // a CPU reads
constexpr double kCpuMostBytesPerSecond = 200e9;  // and all of them
constexpr double kCpuFlops = 20e9;

Status check_request(const ModelNeeds& needs, const PlanRequest& request) {
  const ModelShape& shape = needs.shape();
  if (request.context > shape.max_context) {
    return invalid("‹context› {}: {} allows at most {} (max_position_embeddings)",
                   request.context,
                   needs.model().name,
                   shape.max_context);
  }
  const std::vector<int>& legal = needs.degrees();
  if (request.tp > 0 && std::find(legal.begin(), legal.end(), request.tp) == legal.end()) {
    return invalid("‹tp› {}: this model cannot be split over {} ranks; legal: {}",
                   request.tp,
                   request.tp,
                   fmt::join(legal, ", "));
  }
  return ok_status();
}

void take(const Layout& layout, Plan& plan) {
  plan.parallel = layout.parallel;
  plan.placement = layout.gpus;
  plan.context_tokens = layout.context;
  plan.kv_tokens = layout.kv_tokens;
  plan.max_sequences = layout.context > 0 ? layout.kv_tokens / layout.context : 0;
  plan.host_bytes = layout.host_bytes;
  plan.short_by_bytes = layout.short_by;
  for (size_t r = 0; r < layout.gpus.size(); ++r) {
    plan.gpus[layout.gpus[r]] = layout.shares[r];
  }
}

void plan_for_gpus(const ModelNeeds& needs, const Choice& choice, Plan& plan) {
  if (!choice.best) {
    plan.verdict = Verdict::kRefused;
    if (choice.closest) {
      take(*choice.closest, plan);
      plan.context_tokens = 0;
      plan.kv_tokens = 0;
      plan.max_sequences = 0;
    }
    return;
  }
  const Layout& best = *choice.best;
  take(best, plan);
  plan.predicted = best.predicted;
  plan.verdict = best.meets ? Verdict::kFits : Verdict::kFitsReduced;
  plan.runnable = needs.model().not_loadable.empty() &&
                  form_runs(best.parallel, nodes_of(best.parallel, plan.machine));
}

Status plan_for_cpu(ModelNeeds& needs, const PlanRequest& request, Plan& plan) {
  const ModelShape& shape = needs.shape();
  TUTTI_TRY(const SplitNeed split,
            split_need(needs.model(),
                       1,
                       {.max_tokens = request.max_batch_tokens,
                        .max_sequences = request.max_batch_sequences,
                        .context = request.context},
                       DType::kF32));
  const RankNeed& rank = split.ranks.front();
  const int64_t fixed = rank.weights.total() + rank.activations + kReserveBytes;
  const int64_t context = request.context > 0 ? request.context : shape.max_context;
  plan.host_bytes = fixed + rank.host_bytes;
  plan.runnable = needs.model().not_loadable.empty();
  if (!plan.machine.host_bytes) {
    plan.reasons.push_back({"host_memory_unknown", "how much memory the host has is not known"});
    plan.verdict = Verdict::kRefused;
    return ok_status();
  }
  const int64_t left = *plan.machine.host_bytes - plan.host_bytes;
  constexpr int64_t kBlock = 16;
  if (left / 2 < rank.kv_token_bytes * kBlock) {
    plan.verdict = Verdict::kRefused;
    plan.short_by_bytes = std::max<int64_t>(0, 2 * rank.kv_token_bytes * kBlock - left);
    return ok_status();
  }
  const int64_t kv = chosen_kv_bytes({.available = left,
                                      .shared = true,
                                      .sequence = context * rank.kv_token_bytes,
                                      .max_sequences = request.max_batch_sequences});
  plan.kv_tokens = kv / (rank.kv_token_bytes * kBlock) * kBlock;
  plan.context_tokens = std::min(context, plan.kv_tokens);
  plan.max_sequences = plan.kv_tokens / plan.context_tokens;
  plan.host_bytes += plan.kv_tokens * rank.kv_token_bytes;
  plan.verdict = plan.context_tokens < context || plan.max_sequences < request.concurrency
                     ? Verdict::kFitsReduced
                     : Verdict::kFits;
  const auto cpus = static_cast<double>(plan.machine.cpus);
  const GpuRates rates{.read = std::min(kCpuBytesPerSecond * cpus, kCpuMostBytesPerSecond),
                       .bf16_flops = kCpuFlops * cpus,
                       .fp8_flops = kCpuFlops * cpus};
  Prediction p;
  const StepWork work{
      .weights = rank.weights,
      .context = static_cast<double>(std::min(plan.context_tokens, kTypicalContext)),
      .kv_token_bytes = static_cast<double>(rank.kv_token_bytes),
      .elements = static_cast<double>(shape.dense_elements)};
  p.step.compute = compute_seconds(work, shape, rates);
  p.decode_tokens_per_second = 1 / p.step.compute;
  p.prefill_tokens_per_second =
      rates.bf16_flops / (2.0 * static_cast<double>(shape.dense_elements));
  plan.predicted = p;
  return ok_status();
}

}  // namespace

Result<Goal> parse_goal(const std::string& text) {
  for (const Goal goal : {Goal::kLatency, Goal::kThroughput, Goal::kBalanced}) {
    if (text == goal_name(goal)) {
      return goal;
    }
  }
  return invalid("‹for› {}: wanted latency, throughput or balanced", text);
}

const char* goal_name(Goal goal) {
  switch (goal) {
    case Goal::kLatency:
      return "latency";
    case Goal::kThroughput:
      return "throughput";
    case Goal::kBalanced:
      return "balanced";
  }
  return "balanced";
}

Result<Plan> make_plan(const ModelFacts& model,
                       const Machine& machine,
                       const PlanRequest& request) {
  TUTTI_TRY(ModelNeeds needs, ModelNeeds::create(model, request));
  TUTTI_RETURN_IF_ERROR(check_request(needs, request));
  Plan plan;
  plan.goal = request.goal;
  plan.machine = machine;
  plan.gpus.resize(machine.gpus.size());
  Choice choice;
  const std::vector<size_t> usable = machine.usable();
  if (machine.gpus.empty()) {
    TUTTI_RETURN_IF_ERROR(plan_for_cpu(needs, request, plan));
  } else {
    TUTTI_TRY(choice, choose_layout(needs, machine, request, usable));
    plan_for_gpus(needs, choice, plan);
  }
  TUTTI_RETURN_IF_ERROR(add_advice({needs, request, choice}, plan));
  return plan;
}

}  // namespace tutti
