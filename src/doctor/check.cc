#include "doctor/check.h"

#include <chrono>

namespace tutti {

namespace {

// Why the check has nothing to look at; empty: it has.
std::string nothing_to_look_at(const Check& check, const Examined& machine) {
  const size_t gpus = machine.inventory.gpus.size();
  switch (check.needs) {
    case Needs::kGpus:
      return gpus == 0 ? "there is no NVIDIA GPU" : "";
    case Needs::kSeveralGpus:
      return gpus < 2 ? "there are no two GPUs" : "";
    case Needs::kModel:
      return machine.model == nullptr ? "no model was named" : "";
    case Needs::kNothing:
      break;
  }
  return "";
}

}  // namespace

const std::vector<Check>& all_checks() {
  static const std::vector<Check> kAll = [] {
    std::vector<Check> all;
    for (const std::span<const Check> part : {presence_checks(),
                                              driver_checks(),
                                              gpu_checks(),
                                              link_checks(),
                                              host_checks(),
                                              software_checks()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }();
  return kAll;
}

std::vector<Finding> examine(const Examined& machine) {
  using Clock = std::chrono::steady_clock;
  std::vector<Finding> findings;
  for (const Check& check : all_checks()) {
    const Clock::time_point begin = Clock::now();
    Finding finding{.id = check.id};
    if (std::string why = nothing_to_look_at(check, machine); !why.empty()) {
      finding.outcome = {.severity = Severity::kSkipped, .what = std::move(why)};
    } else {
      finding.outcome = check.look(machine);
    }
    finding.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace tutti
