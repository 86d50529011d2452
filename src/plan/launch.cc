#include "plan/launch.h"

#include <algorithm>

#include "plan/plan_output.h"

namespace tutti {

namespace {

bool named(const PlanGpu& gpu, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [&gpu](const std::string& name) {
    return (gpu.index && std::to_string(*gpu.index) == name) ||
           (!gpu.uuid.empty() && gpu.uuid.starts_with(name));
  });
}

// Of the GPUs that may be used, those that ‹gpus› leaves.
void keep_chosen(const GpuChoice& choice, Machine& machine) {
  int kept = 0;
  for (PlanGpu& gpu : machine.gpus) {
    if (!gpu.barred.empty() || choice.automatic() || choice.all) {
      continue;
    }
    const bool keep = choice.count > 0 ? kept < choice.count : named(gpu, choice.names);
    kept += keep ? 1 : 0;
    if (!keep) {
      gpu.barred = "not_chosen";
      gpu.why = "‹gpus› " + choice.text() + " leaves it out";
    }
  }
}

}  // namespace

Result<std::optional<Launch>> plan_launch(const ModelFacts& model,
                                          Machine machine,
                                          const LaunchWish& wish) {
  const std::optional<Launch> nothing;
  keep_chosen(wish.gpus, machine);
  const std::vector<size_t> usable = machine.usable();
  const bool indexed = std::all_of(usable.begin(), usable.end(), [&machine](size_t i) {
    return machine.gpus[i].index.has_value();
  });
  if (usable.empty() || !indexed || !model.not_loadable.empty() || wish.ranks_per_gpu > 1) {
    return nothing;
  }
  PlanRequest request = wish.request;
  request.runnable_only = true;
  request.tp = wish.tp;
  request.all_gpus = !wish.gpus.automatic();
  TUTTI_TRY(const ModelNeeds needs, ModelNeeds::create(model, request));
  const std::vector<int>& legal = needs.degrees();
  const auto can = [&legal](size_t ranks) {
    return std::find(legal.begin(), legal.end(), static_cast<int>(ranks)) != legal.end();
  };
  // A split that cannot be is refused where ranks are chosen, with the splits that can.
  if ((wish.tp > 0 &&
       (!can(static_cast<size_t>(wish.tp)) || static_cast<size_t>(wish.tp) > usable.size())) ||
      (request.all_gpus &&
       (!can(usable.size()) || (wish.tp > 0 && !can(static_cast<size_t>(wish.tp)))))) {
    return nothing;
  }
  TUTTI_TRY(Plan plan, make_plan(model, machine, request));
  if (plan.verdict == Verdict::kRefused) {
    // By what allowances are too large, no model is refused: loading asks the GPUs what is free.
    PlanRequest closest = request;
    closest.cuda_context_bytes = 0;
    closest.quick = true;
    TUTTI_TRY(Plan tight, make_plan(model, machine, closest));
    if (tight.verdict != Verdict::kRefused) {
      plan = std::move(tight);
    }
  }
  if (plan.verdict == Verdict::kRefused) {
    return error(StatusCode::kOutOfMemory, "{}", plan_paragraph(plan));
  }
  Launch launch{.paragraph = plan_paragraph(plan), .left_out = left_out_text(plan)};
  if (wish.gpus.automatic()) {
    launch.tp = plan.parallel.tp;
    for (const size_t i : plan.placement) {
      launch.gpus.push_back(*plan.machine.gpus[i].index);
    }
  }
  return std::optional<Launch>(std::move(launch));
}

}  // namespace tutti
