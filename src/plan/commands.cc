#include "plan/commands.h"

#include <algorithm>
#include <vector>

#include <fmt/ranges.h>

namespace tutti {

namespace {

constexpr int64_t kMostBatchSequences = 4096;  // that a server takes

// As a POSIX shell wants it.
std::string quoted(const std::string& text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("-_./:,=@+~").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) {
    return text;
  }
  std::string out = "'";
  for (const char c : text) {
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return out + "'";
}

std::string serve_flags(const PlanRequest& request, const Plan& plan) {
  std::string flags;
  if (request.context > 0) {
    flags += fmt::format(" ‹context› {}", request.context);
  }
  if (request.concurrency > request.max_batch_sequences) {
    flags += fmt::format(" ‹max_batch_sequences› {}",
                         std::min(request.concurrency, kMostBatchSequences));
  }
  const auto usable = plan.machine.usable();
  if (plan.placement.empty() || plan.placement.size() == usable.size()) {
    return flags;
  }
  std::vector<int64_t> indices;
  for (const size_t i : plan.placement) {
    if (!plan.machine.gpus[i].index) {
      return flags;
    }
    indices.push_back(*plan.machine.gpus[i].index);
  }
  return flags +
         fmt::format(" ‹gpus› {}{}", fmt::join(indices, ","), indices.size() == 1 ? "," : "");
}

std::string last_part(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  const std::string trimmed = path.substr(0, end + 1);
  return trimmed.substr(trimmed.rfind('/') + 1);
}

std::string plan_flags(const PlanRequest& request) {
  std::string flags;
  if (request.goal != Goal::kBalanced) {
    flags += fmt::format(" ‹for› {}", goal_name(request.goal));
  }
  if (request.context > 0) {
    flags += fmt::format(" ‹context› {}", request.context);
  }
  if (request.concurrency > 0) {
    flags += fmt::format(" ‹concurrency› {}", request.concurrency);
  }
  return flags;
}

std::string plan_model(const ModelFacts& model) {
  if (!model.directory.empty()) {
    return quoted(model.directory);
  }
  const bool first = model.formats.empty() || model.formats.front().name == model.format.name;
  return first ? model.name : model.name + ":" + model.format.name;
}

}  // namespace

std::string model_argument(const ModelFacts& model) {
  return quoted(!model.directory.empty() ? model.directory
                : !model.hub.empty()     ? model.hub
                                         : model.name);
}

std::string serve_command_line(const ModelFacts& model,
                               const PlanRequest& request,
                               const Plan& plan) {
  return fmt::format("tutti serve {}{}", model_argument(model), serve_flags(request, plan));
}

std::string docker_command_line(const ModelFacts& model,
                                const PlanRequest& request,
                                const Plan& plan) {
  const bool local = !model.directory.empty();
  const std::string inside = local ? "/models/" + last_part(model.directory) : "";
  return fmt::format(
      "{} -p 9997:9997 -e TUTTI_API_KEY{} -v {}:{}:ro tutti serve {} ‹host› "
      "0.0.0.0{}",
      plan.machine.gpus.empty() ? "docker run" : "docker run --gpus all",
      local ? "" : " -e HF_HOME=/huggingface",
      local ? quoted(model.directory) : "~/.cache/huggingface",
      local ? quoted(inside) : "/huggingface",
      local ? quoted(inside) : model_argument(model),
      serve_flags(request, plan));
}

std::string plan_command_line(const ModelFacts& model,
                              const PlanRequest& request,
                              const std::string& hardware) {
  return fmt::format("tutti plan {}{}{}",
                     plan_model(model),
                     hardware.empty() ? "" : " ‹hardware› " + hardware,
                     plan_flags(request));
}

}  // namespace tutti
