#include "plan/plan_output.h"

#include <algorithm>
#include <array>

#include <fmt/ranges.h>

#include "plan/advice.h"
#include "plan/choice.h"

namespace tutti {

namespace {

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kFits:
      return "fits";
    case Verdict::kFitsReduced:
      return "fits_reduced";
    case Verdict::kRefused:
      return "refused";
  }
  return "refused";
}

Json text_or_null(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

Json gpu_json(const PlanGpu& gpu, const GpuShare& share) {
  const bool planned = share.used || share.weights > 0;
  const auto bytes = [planned](int64_t value) { return planned ? value : int64_t{0}; };
  return Json::object(
      {{"index", gpu.index ? Json(*gpu.index) : Json()},
       {"uuid", text_or_null(gpu.uuid)},
       {"name", gpu.name},
       {"used", share.used},
       {"reason", share.reason},
       {"total_bytes", gpu.total_bytes > 0 ? Json(gpu.total_bytes) : Json()},
       {"free_bytes", gpu.total_bytes > 0 ? Json(gpu.free_bytes) : Json()},
       {"weights_bytes", bytes(share.weights)},
       {"kv_bytes", bytes(share.kv)},
       {"activations_bytes", bytes(share.activations)},
       {"graphs_bytes", bytes(share.graphs)},
       {"context_bytes", bytes(share.context)},
       {"spare_bytes", share.used ? Json(share.spare) : Json()},
       {"draft_weights_bytes", share.draft_weights > 0 ? Json(share.draft_weights) : Json()}});
}

Json predicted_json(const std::optional<Prediction>& predicted) {
  if (!predicted) {
    return {};
  }
  const StepTime& step = predicted->step;
  return Json::object({{"source", predicted->measured ? "measured" : "roofline"},
                       {"batch", predicted->batch},
                       {"decode_tokens_per_second", predicted->decode_tokens_per_second},
                       {"prefill_tokens_per_second", predicted->prefill_tokens_per_second},
                       {"step_seconds",
                        Json::object({{"compute", step.compute},
                                      {"communication", step.communication},
                                      {"host", step.host}})}});
}

// "0-3,6"
std::string index_list(const std::vector<int64_t>& indices) {
  std::string out;
  for (size_t i = 0; i < indices.size();) {
    size_t end = i;
    while (end + 1 < indices.size() && indices[end + 1] == indices[end] + 1) {
      ++end;
    }
    out += (out.empty() ? "" : ",") + std::to_string(indices[i]) +
           (end > i ? fmt::format("-{}", indices[end]) : "");
    i = end + 1;
  }
  return out;
}

std::string gpu_label(const PlanGpu& gpu) {
  return gpu.index ? fmt::format("cuda:{}", *gpu.index) : !gpu.uuid.empty() ? gpu.uuid : "GPU";
}

std::string billions(int64_t parameters) {
  return fmt::format("{:.2f} B parameters", static_cast<double>(parameters) / 1e9);
}

std::string verdict_line(const Plan& plan) {
  switch (plan.verdict) {
    case Verdict::kFits:
      return "It fits";
    case Verdict::kFitsReduced:
      return "It fits, with less than was asked for";
    case Verdict::kRefused:
      return "It does not fit";
  }
  return "";
}

std::string gpu_rows(const Plan& plan) {
  std::string out;
  const auto gb = [](int64_t bytes) { return static_cast<double>(bytes) / 1e9; };
  if (!plan.gpus.empty()) {
    out += fmt::format("  {:<9} {:<24} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}  {}\n",
                       "GPU",
                       "",
                       "free GB",
                       "weights",
                       "KV cache",
                       "activ.",
                       "CUDA",
                       "spare",
                       "");
  }
  for (size_t i = 0; i < plan.gpus.size(); ++i) {
    const PlanGpu& gpu = plan.machine.gpus[i];
    const GpuShare& s = plan.gpus[i];
    out += fmt::format("  {:<9} {:<24} {:>8.1f}", gpu_label(gpu), gpu.name, gb(gpu.free_bytes));
    out += s.used          ? fmt::format(" {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f}",
                                gb(s.weights),
                                gb(s.kv),
                                gb(s.activations),
                                gb(s.graphs + s.context),
                                gb(s.spare))
           : s.weights > 0 ? fmt::format(" {:>9.1f} {:>39}", gb(s.weights), "not used")
                           : fmt::format(" {:>49}", "not used");
    out += "  " + s.reason + "\n";
  }
  return out;
}

}  // namespace

Json plan_json(const ModelFacts& model, const ModelShape& shape, const Plan& plan) {
  JsonArray gpus;
  for (size_t i = 0; i < plan.gpus.size(); ++i) {
    gpus.push_back(gpu_json(plan.machine.gpus[i], plan.gpus[i]));
  }
  JsonArray reasons;
  for (const PlanReason& reason : plan.reasons) {
    reasons.push_back(Json::object({{"code", reason.code}, {"text", reason.text}}));
  }
  JsonArray alternatives;
  for (const PlanAlternative& other : plan.alternatives) {
    alternatives.push_back(Json::object(
        {{"code", other.code}, {"text", other.text}, {"command", text_or_null(other.command)}}));
  }
  const Parallel& form = plan.parallel;
  return Json::object({{"schema", 1},
                       {"verdict", verdict_name(plan.verdict)},
                       {"runnable", plan.runnable},
                       {"model",
                        Json::object({{"name", model.name},
                                      {"architecture", model.architecture},
                                      {"format", model.format.name},
                                      {"parameters", shape.parameters}})},
                       {"goal", goal_name(plan.goal)},
                       {"hardware",
                        Json::object({{"name", plan.machine.name},
                                      {"nodes", plan.machine.nodes},
                                      {"gpus", static_cast<int64_t>(plan.machine.gpus.size())}})},
                       {"parallel",
                        Json::object({{"tp", form.tp},
                                      {"pp", form.pp},
                                      {"dp", form.dp},
                                      {"ep", form.ep},
                                      {"dcp", form.dcp},
                                      {"replicas", form.replicas}})},
                       {"gpus", Json(std::move(gpus))},
                       {"context_tokens", plan.context_tokens},
                       {"kv_tokens", plan.kv_tokens},
                       {"max_sequences", plan.max_sequences},
                       {"shm_bytes", 0},
                       {"host_bytes", plan.host_bytes},
                       {"short_by_bytes", plan.short_by_bytes},
                       {"predicted", predicted_json(plan.predicted)},
                       {"reasons", Json(std::move(reasons))},
                       {"alternatives", Json(std::move(alternatives))},
                       {"command", text_or_null(plan.command)},
                       {"docker_command", text_or_null(plan.docker_command)}});
}

std::string plan_table(const ModelFacts& model, const ModelShape& shape, const Plan& plan) {
  std::string out = fmt::format("{} ({}, {}, {}) on {}\n\n{}{}\n",
                                model.name,
                                model.architecture,
                                model.format.name,
                                billions(shape.parameters),
                                plan.machine.name,
                                verdict_line(plan),
                                plan.runnable || plan.verdict == Verdict::kRefused
                                    ? "."
                                    : ", but this build cannot start it (below).");
  if (plan.verdict != Verdict::kRefused) {
    const Parallel& p = plan.parallel;
    out += fmt::format("  context {} tokens, cache for {} tokens: {} sequence{} of full length\n",
                       plan.context_tokens,
                       plan.kv_tokens,
                       plan.max_sequences,
                       plan.max_sequences == 1 ? "" : "s");
    out += fmt::format("  split: tp {} x pp {} x dp {}, ep {}, dcp {}, replicas {}\n",
                       p.tp,
                       p.pp,
                       p.dp,
                       p.ep,
                       p.dcp,
                       p.replicas);
  }
  if (plan.predicted) {
    const Prediction& p = *plan.predicted;
    out += fmt::format(
        "  predicted ({}), {} at once: {:.0f} tok/s of output, {:.0f} tok/s of prompts\n",
        p.measured ? "measured rates" : "data sheets",
        p.batch,
        p.decode_tokens_per_second,
        p.prefill_tokens_per_second);
  }
  out += "  host memory " + gigabytes(plan.host_bytes) + ", /dev/shm nothing\n\n";
  out += gpu_rows(plan);
  out += "\n";
  for (const PlanReason& reason : plan.reasons) {
    out += "- " + reason.text + "\n";
  }
  for (const PlanAlternative& other : plan.alternatives) {
    out += fmt::format(
        "- or: {}{}\n", other.text, other.command.empty() ? "" : "\n    " + other.command);
  }
  if (!plan.command.empty()) {
    out += fmt::format("\n{}\n{}\n", plan.command, plan.docker_command);
  }
  return out;
}

std::string left_out_text(const Plan& plan) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> groups;  // reason, indices
  std::vector<std::string> parts;
  for (size_t i = 0; i < plan.gpus.size(); ++i) {
    const PlanGpu& gpu = plan.machine.gpus[i];
    const std::string& reason = plan.gpus[i].reason;
    if (plan.gpus[i].used) {
      continue;
    }
    if (!gpu.index) {
      parts.push_back(fmt::format("{} ({}) left out: {}", gpu_label(gpu), gpu.name, reason));
      continue;
    }
    const auto same = std::find_if(
        groups.begin(), groups.end(), [&](const auto& group) { return group.first == reason; });
    if (same != groups.end()) {
      same->second.push_back(*gpu.index);
    } else {
      groups.push_back({reason, {*gpu.index}});
    }
  }
  for (const auto& [reason, indices] : groups) {
    parts.push_back(fmt::format("cuda:{} left out: {}", index_list(indices), reason));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string plan_paragraph(const Plan& plan) {
  std::vector<int64_t> used;
  for (size_t i = 0; i < plan.gpus.size(); ++i) {
    if (plan.gpus[i].used && plan.machine.gpus[i].index) {
      used.push_back(*plan.machine.gpus[i].index);
    }
  }
  std::vector<std::string> parts;
  if (!used.empty()) {
    parts.push_back("cuda:" + index_list(used));
  }
  if (const std::string left_out = left_out_text(plan); !left_out.empty()) {
    parts.push_back(left_out);
  }
  constexpr std::array kTold{
      "form", "helps", "needed", "context_reduced", "gpus_missing", "short", "host_memory"};
  for (const PlanReason& reason : plan.reasons) {
    if (std::find(kTold.begin(), kTold.end(), reason.code) != kTold.end()) {
      parts.push_back(reason.text);
    }
  }
  for (const PlanAlternative& other : plan.alternatives) {
    if (plan.verdict == Verdict::kRefused) {
      parts.push_back("or " + other.text +
                      (other.command.empty() ? "" : " (" + other.command + ")"));
    }
  }
  return fmt::format("plan: {}", fmt::join(parts, "; "));
}

}  // namespace tutti
