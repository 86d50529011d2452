#include "plan/advice.h"

#include <algorithm>
#include <cmath>

#include <fmt/ranges.h>

#include "base/checked.h"
#include "plan/commands.h"
#include "plan/planner.h"

namespace tutti {

namespace {

std::string tokens(int64_t count) {
  return fmt::format("{} token{}", count, count == 1 ? "" : "s");
}

std::string gpus_text(size_t count) {
  return fmt::format("{} GPU{}", count, count == 1 ? "" : "s");
}

// "sums of tensors over 8 ranks", for people
std::string form_text(const Parallel& form) {
  if (form.tp == 1 && form.pp == 1 && form.dp == 1) {
    return form.replicas > 1 ? fmt::format("{} copies", form.replicas) : "whole";
  }
  std::vector<std::string> parts;
  if (form.dp > 1) {
    parts.push_back(fmt::format("data-parallel attention over {0}, experts over {0}", form.dp));
  } else {
    parts.push_back(fmt::format("tensor parallel over {}", form.tp));
  }
  if (form.replicas > 1) {
    parts.push_back(fmt::format("{} copies", form.replicas));
  }
  if (form.dcp > 1) {
    parts.push_back(
        fmt::format("each cache shared out over {} (decode context parallel)", form.dcp));
  }
  if (form.pp > 1) {
    parts.push_back(fmt::format("{} stages of layers (pipeline parallel)", form.pp));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

// For texts of layouts that this build could not start.
const char* not_yet(const Layout& layout) {
  return form_runs(layout.parallel, 1) ? "" : "; in a form that this build cannot start yet";
}

class Adviser {
 public:
  Adviser(const AdviceInput& input, Plan& plan)
      : needs_(input.needs), request_(input.request), choice_(input.choice), plan_(plan) {}

  Status advise() {
    explain_gpus();
    explain_plan();
    if (!request_.quick) {
      TUTTI_RETURN_IF_ERROR(suggest());
    }
    if (plan_.verdict != Verdict::kRefused && plan_.runnable) {
      plan_.command = serve_command_line(needs_.model(), request_, plan_);
      plan_.docker_command = docker_command_line(needs_.model(), request_, plan_);
    }
    return ok_status();
  }

 private:
  const Machine& machine() const { return plan_.machine; }

  void reason(std::string code, std::string text) {
    plan_.reasons.push_back({std::move(code), std::move(text)});
  }

  void explain_gpus() {
    for (size_t i = 0; i < plan_.gpus.size(); ++i) {
      GpuShare& share = plan_.gpus[i];
      if (share.used) {
        const auto at = std::find(plan_.placement.begin(), plan_.placement.end(), i);
        share.reason =
            fmt::format("rank {} of {}", at - plan_.placement.begin(), plan_.placement.size());
        if (plan_.verdict == Verdict::kRefused) {
          share.used = false;
          share.reason = "the model does not fit";
        }
      } else {
        share.reason = machine().gpus[i].barred.empty() ? why_left_out(machine().gpus[i])
                                                        : machine().gpus[i].why;
      }
    }
  }

  // Of GPUs that could be used and are not.
  std::string why_left_out(const PlanGpu& gpu) const {
    if (plan_.verdict == Verdict::kRefused) {
      return "the model does not fit";
    }
    const size_t used = plan_.placement.size();
    if (request_.tp > 0) {
      return fmt::format("‹tp› {} takes {}", request_.tp, gpus_text(used));
    }
    if (!choice_.best) {
      return "not needed";
    }
    // Of equal GPUs those with most room are taken.
    for (const size_t taken : plan_.placement) {
      const PlanGpu& other = machine().gpus[taken];
      constexpr int64_t kBusy = int64_t{1} << 30;
      if (other.name == gpu.name && other.free_bytes > gpu.free_bytes + kBusy) {
        return fmt::format("busy: {} of {} is free{}, others have more",
                           gigabytes(gpu.free_bytes),
                           gigabytes(gpu.total_bytes),
                           gpu.holders.empty() ? "" : " (" + gpu.holders + ")");
      }
    }
    for (const Layout& more : choice_.tried) {
      if (more.gpus.size() > used) {
        return fmt::format(
            "{} would give {:.0f} tok/s instead of {:.0f} ({:+.0f} %): less than "
            "the 5 % from which a GPU counts as a help",
            gpus_text(more.gpus.size()),
            more.figure,
            choice_.best->figure,
            (more.figure / choice_.best->figure - 1) * 100);
      }
    }
    for (const int more : needs_.degrees()) {
      if (more > static_cast<int>(used) && more <= kMostRanksOfHost &&
          more <= static_cast<int>(machine().usable().size())) {
        return fmt::format("over {}, with smaller ones among them, the model does not fit",
                           gpus_text(static_cast<size_t>(more)));
      }
    }
    return fmt::format("the model cannot be split over more than {} of these: it can over {}",
                       gpus_text(used),
                       fmt::join(short_degrees(), ", "));
  }

  std::vector<int> short_degrees() const {
    std::vector<int> out;
    std::copy_if(
        needs_.degrees().begin(), needs_.degrees().end(), std::back_inserter(out), [](int tp) {
          return tp <= 16;
        });
    return out;
  }

  void explain_plan() {
    if (!needs_.model().not_loadable.empty()) {
      reason("not_loadable", needs_.model().not_loadable);
    }
    const auto& layout = choice_.best ? choice_.best : choice_.closest;
    if (layout && !layout->unexpected.empty()) {
      reason("unexpected_tensors",
             fmt::format("{} tensors of the checkpoint are not used by {}, for example {}",
                         layout->unexpected.size(),
                         needs_.model().architecture,
                         layout->unexpected.front()));
    }
    if (machine().missing) {
      reason("gpus_missing",
             fmt::format("{} more of this machine {} not shown by the driver",
                         gpus_text(static_cast<size_t>(*machine().missing)),
                         *machine().missing == 1 ? "is" : "are"));
    }
    if (plan_.verdict == Verdict::kRefused) {
      explain_refusal();
    } else if (choice_.best) {
      explain_choice(*choice_.best);
    }
    if (!needs_.model().assumption.empty()) {
      reason("assumption", needs_.model().assumption);
    }
    for (const std::string& assumption : machine().assumptions) {
      reason("assumption", assumption);
    }
    reason("shm",
           "no /dev/shm is needed: the ranks are threads of one process and use each other's "
           "memory, so Docker's shm-size and ipc options change nothing");
  }

  void explain_refusal() {
    if (machine().gpus.empty()) {
      reason("no_gpu", "this machine shows no NVIDIA GPU");
      if (plan_.short_by_bytes > 0) {
        reason("short",
               fmt::format("on the CPU the model needs {}, the host has {}: short by {}",
                           gigabytes(plan_.host_bytes),
                           gigabytes(machine().host_bytes.value_or(0)),
                           gigabytes(plan_.short_by_bytes)));
      }
      return;
    }
    if (machine().usable().empty()) {
      reason("no_usable_gpu",
             fmt::format("none of the {} may be used: {}",
                         gpus_text(machine().gpus.size()),
                         machine().gpus.front().why));
      return;
    }
    if (!choice_.closest) {
      reason("short", "no way to split the model fits the GPUs");
      return;
    }
    const Layout& closest = *choice_.closest;
    if (closest.host_short) {
      reason("host_memory",
             fmt::format("loading takes {} of the host's memory for buffers, {} may be used",
                         gigabytes(closest.host_bytes),
                         gigabytes(*machine().host_bytes)));
      if (closest.short_by == 0) {
        return;
      }
    }
    const GpuShare& worst = closest.shares[closest.worst];
    const PlanGpu& gpu = machine().gpus[closest.gpus[closest.worst]];
    reason("short",
           fmt::format("{}: on {} ({}) the weights take {}, activations, workspaces and CUDA {}, "
                       "and {} is free: short by {}",
                       form_text(closest.parallel),
                       gpu.index ? fmt::format("cuda:{}", *gpu.index) : gpu.uuid,
                       gpu.name,
                       gigabytes(worst.weights),
                       gigabytes(worst.activations + worst.graphs + worst.context),
                       gigabytes(gpu.free_bytes),
                       gigabytes(closest.short_by)));
  }

  void explain_choice(const Layout& best) {
    const int nodes = nodes_of(best.parallel, machine());
    reason("form",
           fmt::format("{} on {}{}",
                       form_text(best.parallel),
                       gpus_text(best.gpus.size()),
                       nodes > 1 ? fmt::format(" of each of {} hosts", nodes) : ""));
    const Layout* fewer = nullptr;
    for (const Layout& layout : choice_.tried) {
      if (layout.gpus.size() < best.gpus.size()) {
        fewer = &layout;
      }
    }
    if (fewer != nullptr) {
      reason("helps",
             fmt::format("{} would give {:.0f} tok/s and a context of {}, this gives {:.0f} and {}",
                         gpus_text(fewer->gpus.size()),
                         fewer->figure,
                         tokens(fewer->context),
                         best.figure,
                         tokens(best.context)));
    } else if (nodes > 1) {
      reason("needed", "the model does not fit one host");
    } else if (best.gpus.size() > 1) {
      reason("needed",
             fmt::format("the model does not fit fewer than {}", gpus_text(best.gpus.size())));
    }
    if (!form_runs(best.parallel, nodes)) {
      reason("form_not_startable",
             fmt::format("this build starts models tensor parallel on one host only, not: {}",
                         form_text(best.parallel)));
    }
    const int64_t wanted = request_.context > 0 ? request_.context : needs_.shape().max_context;
    if (best.context < wanted) {
      reason("context_reduced",
             fmt::format("the cache holds {}: a context of {} needs {} more on each GPU",
                         tokens(best.context),
                         tokens(wanted),
                         gigabytes((wanted - best.context) * best.kv_token_bytes)));
    }
    if (best.sequences < request_.concurrency) {
      reason("concurrency_reduced",
             fmt::format("{} sequences of {} fit at once, {} were asked for",
                         best.sequences,
                         tokens(request_.context > 0 ? request_.context : kTypicalContext),
                         request_.concurrency));
    }
    if (plan_.predicted && !plan_.predicted->measured) {
      reason("roofline", "speeds come from data sheets, not from measurements on this GPU model");
    }
  }

  void alternative(std::string code, std::string text, std::string command) {
    plan_.alternatives.push_back({std::move(code), std::move(text), std::move(command)});
  }

  Status suggest() {
    if (plan_.verdict == Verdict::kFits && plan_.runnable) {
      suggest_replica();
      return ok_status();
    }
    if (choice_.runnable && needs_.model().not_loadable.empty()) {
      suggest_runnable(*choice_.runnable);
    }
    if (plan_.verdict == Verdict::kFits) {
      return ok_status();
    }
    if (plan_.verdict == Verdict::kFitsReduced) {
      suggest_less();
    }
    if (machine().usable().empty()) {
      return suggest_hardware();
    }
    TUTTI_RETURN_IF_ERROR(suggest_formats());
    TUTTI_RETURN_IF_ERROR(suggest_gpus());
    return suggest_nodes();
  }

  // What fits of what was asked for.
  void suggest_less() {
    PlanRequest smaller = request_;
    const bool fewer = choice_.best && choice_.best->sequences < request_.concurrency;
    if (fewer) {
      smaller.concurrency = std::max<int64_t>(choice_.best->sequences, 1);
    } else {
      smaller.context = plan_.context_tokens;
    }
    alternative(fewer ? "concurrency" : "context",
                fewer ? fmt::format("{} sequences at once fit", smaller.concurrency)
                      : fmt::format("a context of {} fits", tokens(plan_.context_tokens)),
                plan_command_line(needs_.model(), smaller, request_.typed_hardware));
  }

  void suggest_replica() {
    const size_t used = plan_.placement.size();
    const std::vector<size_t> usable = machine().usable();
    if (used == 0 || usable.size() < 2 * used || request_.goal != Goal::kThroughput) {
      return;
    }
    std::vector<int64_t> rest;
    for (const size_t i : usable) {
      const bool taken =
          std::find(plan_.placement.begin(), plan_.placement.end(), i) != plan_.placement.end();
      if (!taken && rest.size() < used && machine().gpus[i].index) {
        rest.push_back(*machine().gpus[i].index);
      }
    }
    alternative("replicas",
                fmt::format("a second server on {} GPUs that are left; this build starts one copy "
                            "of a model in a server",
                            used),
                fmt::format("tutti serve {} ‹gpus› {}{} ‹port› 9998",
                            model_argument(needs_.model()),
                            fmt::join(rest, ","),
                            rest.size() == 1 ? "," : ""));
  }

  void suggest_runnable(const Layout& runnable) {
    Plan other = plan_;
    other.parallel = runnable.parallel;
    other.placement = runnable.gpus;
    PlanRequest request = request_;
    request.context = std::min(request.context, runnable.context);
    alternative("runnable",
                fmt::format("this build starts it {} on {}, with a context of {} and {} sequences "
                            "of typical length at once, {:.0f} tok/s",
                            form_text(runnable.parallel),
                            gpus_text(runnable.gpus.size()),
                            tokens(runnable.context),
                            runnable.sequences,
                            runnable.figure),
                serve_command_line(needs_.model(), request, other));
  }

  // The best layout of another model or machine that loads; empty: none. `whole`: what was asked.
  Result<std::optional<Layout>> try_elsewhere(ModelNeeds& needs,
                                              const Machine& machine,
                                              bool whole) const {
    PlanRequest any = request_;  // also what this build cannot start: the text says so
    any.runnable_only = false;
    any.tp = 0;
    any.all_gpus = false;
    TUTTI_TRY(Choice choice, choose_layout(needs, machine, any, machine.usable()));
    if (choice.best && whole && !choice.best->meets) {
      choice.best.reset();
    }
    return std::move(choice.best);
  }

  Status suggest_formats() {
    TUTTI_TRY(const Catalogue catalogue, Catalogue::load());
    constexpr size_t kMost = 2;
    std::vector<double> found;  // sizes
    for (const CatalogueFormat& format : needs_.model().formats) {
      TUTTI_TRY(const StoredFormat stored, find_format(format.name));
      const auto size = [](const StoredFormat& f) {
        const auto one = [](const BytesPerWeight& b) {
          return static_cast<double>(b.bytes) / static_cast<double>(b.weights);
        };
        return one(f.linear) + one(f.experts);
      };
      // Twice the same bits under two names is one suggestion.
      const bool alike = std::any_of(found.begin(), found.end(), [&](double other) {
        return std::abs(other / size(stored) - 1) < 0.1;
      });
      if (found.size() == kMost || alike || size(stored) >= size(needs_.model().format)) {
        continue;
      }
      const std::string name = needs_.model().catalogue_name + ":" + format.name;
      TUTTI_TRY(const CatalogueChoice choice, catalogue.find(name));
      TUTTI_TRY(const ModelFacts facts, facts_of(choice));
      TUTTI_TRY(ModelNeeds needs, ModelNeeds::create(facts, request_));
      TUTTI_TRY(const std::optional<Layout> layout,
                try_elsewhere(needs, machine(), plan_.verdict == Verdict::kFitsReduced));
      if (!layout) {
        continue;
      }
      found.push_back(size(stored));
      alternative("quantization",
                  fmt::format("in {} the weights take {} on each of {}; a context of {} fits{}{}",
                              format.name,
                              gigabytes(layout->shares.front().weights),
                              gpus_text(layout->gpus.size()),
                              tokens(layout->context),
                              facts.not_loadable.empty() ? "" : "; this build cannot load it yet",
                              not_yet(*layout)),
                  plan_command_line(facts, request_, request_.typed_hardware));
    }
    return ok_status();
  }

  // As many more GPUs of the kind that has most room as the model can be split over.
  Status suggest_gpus() {
    const std::vector<size_t> usable = machine().usable();
    const size_t biggest = *std::max_element(usable.begin(), usable.end(), [&](size_t a, size_t b) {
      return machine().gpus[a].total_bytes < machine().gpus[b].total_bytes;
    });
    PlanGpu fresh = machine().gpus[biggest];
    fresh.free_bytes = fresh.total_bytes;
    for (const int tp : needs_.degrees()) {
      if (tp <= static_cast<int>(usable.size()) || tp > kMostRanksOfHost) {
        continue;
      }
      Machine larger = machine();
      larger.gpus.assign(static_cast<size_t>(tp), fresh);
      larger.links.clear();
      TUTTI_TRY(const std::optional<Layout> layout, try_elsewhere(needs_, larger, true));
      if (layout) {
        alternative(
            "more_gpus",
            fmt::format("{} x {} hold it with a context of {}{}",
                        tp,
                        fresh.name,
                        tokens(layout->context),
                        not_yet(*layout)),
            fresh.model == nullptr
                ? ""
                : plan_command_line(
                      needs_.model(), request_, fmt::format("{}x{}", tp, fresh.model->name)));
        return ok_status();
      }
    }
    return plan_.verdict == Verdict::kRefused ? suggest_hardware() : ok_status();
  }

  // The fewest H200s or B200s of one host.
  Status suggest_hardware() {
    for (const char* name : {"H200", "B200"}) {
      for (const int count : {1, 2, 4, 8}) {
        const std::string hardware = count == 1 ? name : fmt::format("{}x{}", count, name);
        TUTTI_TRY(const NamedHardware named, parse_hardware(hardware));
        TUTTI_TRY(const std::optional<Layout> layout,
                  try_elsewhere(needs_, machine_of(named.inventory, 1, hardware), false));
        if (layout) {
          alternative("hardware",
                      fmt::format("{} x {} hold it with a context of {}{}",
                                  count,
                                  name,
                                  tokens(layout->context),
                                  not_yet(*layout)),
                      plan_command_line(needs_.model(), request_, hardware));
          return ok_status();
        }
      }
    }
    return ok_status();
  }

  Status suggest_nodes() {
    if (plan_.verdict != Verdict::kRefused || machine().nodes > 1) {
      return ok_status();
    }
    for (const int nodes : {2, 4}) {
      Machine several = machine();
      several.nodes = nodes;
      TUTTI_TRY(const std::optional<Layout> layout, try_elsewhere(needs_, several, false));
      if (!layout) {
        continue;
      }
      const PlanGpu& gpu = machine().gpus[layout->gpus.front()];
      alternative(
          "nodes",
          fmt::format("{} hosts like this one hold it ({}); this build uses one host",
                      nodes,
                      form_text(layout->parallel)),
          gpu.model == nullptr
              ? ""
              : plan_command_line(
                    needs_.model(),
                    request_,
                    fmt::format("{}x{}x{}", nodes, machine().usable().size(), gpu.model->name)));
      return ok_status();
    }
    return ok_status();
  }

  ModelNeeds& needs_;
  const PlanRequest& request_;
  const Choice& choice_;
  Plan& plan_;
};

}  // namespace

std::string gigabytes(int64_t bytes) {
  return fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

Status add_advice(const AdviceInput& input, Plan& plan) {
  return Adviser(input, plan).advise();
}

}  // namespace tutti
