// tutti plan MODEL: which GPUs, how split, what fits, what to type; nothing is loaded.
// tutti models: the catalogue, and what of it fits here.
#include <algorithm>
#include <cstdio>
#include <optional>

#include "apps/common.h"
#include "apps/machine_inventory.h"
#include "apps/options.h"
#include "apps/plan_facts.h"
#include "base/ascii.h"
#include "base/option_names.h"
#include "plan/advice.h"
#include "plan/plan_output.h"
#include "plan/planner.h"

namespace tutti {

namespace {

constexpr int kRefusedExit = 69;  // sysexits.h EX_UNAVAILABLE

Result<Machine> find_machine(const std::string& hardware, const std::string& inventory) {
  if (!hardware.empty() && !inventory.empty()) {
    return invalid(
        "--hardware and --inventory: wanted one of them, as in tutti plan MODEL --hardware 8xH200");
  }
  if (!hardware.empty()) {
    TUTTI_TRY(const NamedHardware named, parse_hardware(hardware));
    return machine_of(named.inventory, named.nodes, hardware);
  }
  if (!inventory.empty()) {
    TUTTI_TRY(const Inventory read, read_inventory(inventory));
    return machine_of(read, 1, "");
  }
  return this_machine();
}

Result<PlanRequest> request_of(const PlanOptions& options) {
  PlanRequest request;
  TUTTI_TRY(request.goal, parse_goal(options.goal));
  request.context = options.context;
  request.concurrency = options.concurrency;
  request.typed_hardware = options.hardware;
  return request;
}

Result<int> plan_model(const PlanOptions& options) {
  TUTTI_TRY(const PlanRequest request, request_of(options));
  TUTTI_TRY(const ModelFacts model, find_model_facts(options.model));
  TUTTI_TRY(const Machine machine, find_machine(options.hardware, options.inventory));
  TUTTI_TRY(const Plan plan, make_plan(model, machine, request));
  TUTTI_TRY(const ModelShape shape, model_shape(model));
  const std::string text = options.json ? to_string(plan_json(model, shape, plan)) + "\n"
                                        : plan_table(model, shape, plan);
  std::fputs(spell_options(text, &as_flag).c_str(), stdout);
  return plan.verdict == Verdict::kRefused ? kRefusedExit : 0;
}

// One row of `tutti models`.
struct ListedModel {
  const CatalogueModel* model;
  ModelShape shape;
  Plan plan;
};

Json listed_json(const ListedModel& row, const Catalogue& catalogue) {
  JsonArray formats;
  for (const CatalogueFormat& format : row.model->formats) {
    formats.push_back(Json::object(
        {{"name", format.name}, {"hub", format.hub.empty() ? Json() : Json(format.hub)}}));
  }
  JsonArray xinference;
  for (const XinferenceName& name : catalogue.xinference()) {
    if (name.model == row.model->name) {
      xinference.push_back(Json::object({{"name", name.name},
                                         {"size_in_billions", name.size},
                                         {"format", name.format},
                                         {"quantization", name.quantization},
                                         {"tutti_format", name.stored}}));
    }
  }
  int64_t weights = 0;
  for (const GpuShare& share : row.plan.gpus) {
    weights += share.weights;
  }
  return Json::object({{"name", row.model->name},
                       {"family", row.model->family},
                       {"hub", row.model->hub},
                       {"parameters", row.shape.parameters},
                       {"context_tokens", row.shape.max_context},
                       {"verdict",
                        row.plan.verdict == Verdict::kFits          ? "fits"
                        : row.plan.verdict == Verdict::kFitsReduced ? "fits_reduced"
                                                                    : "refused"},
                       {"runnable", row.plan.runnable},
                       {"gpus", static_cast<int64_t>(row.plan.placement.size())},
                       {"fits_context_tokens", row.plan.context_tokens},
                       {"weights_bytes", weights},
                       {"formats", Json(std::move(formats))},
                       {"xinference", Json(std::move(xinference))}});
}

std::string listed_line(const ListedModel& row) {
  const Plan& plan = row.plan;
  std::string fits;
  if (plan.verdict == Verdict::kRefused) {
    fits = fmt::format("no: short by {}{}",
                       gigabytes(plan.short_by_bytes),
                       plan.machine.gpus.empty() ? "" : " a GPU");
  } else {
    fits = fmt::format(
        "{}{}, context {}{}",
        plan.placement.empty() ? "on the CPU" : fmt::format("{} GPU", plan.placement.size()),
        plan.placement.size() > 1 ? "s" : "",
        plan.context_tokens,
        plan.runnable ? "" : " (this build cannot start it)");
  }
  return fmt::format("{:<32} {:>8.1f} B  {:<9} {}\n",
                     row.model->name,
                     static_cast<double>(row.shape.parameters) / 1e9,
                     row.model->formats.front().name,
                     fits);
}

// In its own name, its repository's or an alias.
bool has_word(const CatalogueModel& model, const std::string& word) {
  const auto has = [wanted = to_lower(word)](const std::string& name) {
    return to_lower(name).find(wanted) != std::string::npos;
  };
  return has(model.name) || has(model.hub) ||
         std::any_of(model.aliases.begin(), model.aliases.end(), has);
}

Status list_models(const ModelsOptions& options) {
  TUTTI_TRY(const Catalogue catalogue, Catalogue::load());
  TUTTI_TRY(const Machine machine, find_machine(options.hardware, options.inventory));
  JsonArray rows;
  std::string text =
      fmt::format("What fits on {}, in the form that is published first:\n\n",
                  machine.gpus.empty() ? "this machine, which has no GPU" : machine.name);
  for (const CatalogueModel& model : catalogue.models()) {
    if (!has_word(model, options.word)) {
      continue;
    }
    TUTTI_TRY(const ModelFacts facts, facts_of({.model = &model, .format = model.formats.front()}));
    PlanRequest request;
    request.quick = true;
    TUTTI_TRY(Plan plan, make_plan(facts, machine, request));
    TUTTI_TRY(const ModelShape shape, model_shape(facts));
    const ListedModel row{.model = &model, .shape = shape, .plan = std::move(plan)};
    rows.push_back(listed_json(row, catalogue));
    text += listed_line(row);
  }
  if (rows.empty()) {
    return error(
        StatusCode::kNotFound,
        "models {}: the catalogue has none of that name; tutti models lists all, and other "
        "models are given as a directory",
        options.word);
  }
  text +=
      "\ntutti plan NAME says how and why; NAME:FORMAT takes another format (tutti models --json "
      "lists them).\n";
  if (options.json) {
    text = to_string(Json::object({{"schema", 1}, {"models", Json(std::move(rows))}})) + "\n";
  }
  std::fputs(text.c_str(), stdout);
  return ok_status();
}

}  // namespace

int plan_command(const PlanOptions& options) {
  const Result<int> code = plan_model(options);
  return code.ok() ? *code : fail(code.status());
}

int models_command(const ModelsOptions& options) {
  const Status status = list_models(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
