// What to type: commands that a plan suggests, with names of options as base/option_names.h has
// them.
#pragma once
#include <string>

#include "plan/plan.h"

namespace tutti {

/// The model in a command: its directory, else its repository, else its name.
std::string model_argument(const ModelFacts& model);

/// "tutti serve deepseek-ai/DeepSeek-R1 --context 32768". GPUs are named where the plan leaves out
/// some that serve would take.
std::string serve_command_line(const ModelFacts& model,
                               const PlanRequest& request,
                               const Plan& plan);

/// The same in a container, on port 9997.
std::string docker_command_line(const ModelFacts& model,
                                const PlanRequest& request,
                                const Plan& plan);

/// `hardware`: as --hardware takes it; empty: this machine.
std::string plan_command_line(const ModelFacts& model,
                              const PlanRequest& request,
                              const std::string& hardware);

}  // namespace tutti
