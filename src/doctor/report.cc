#include "doctor/report.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/units.h"

namespace tutti {

namespace {

// What belongs to the model and the server is asked for elsewhere before a launch.
bool of_machine(const Finding& finding) {
  return !finding.id.starts_with("model.") && !finding.id.starts_with("server.");
}

}  // namespace

Json report_json(const DoctorReport& report, const Inventory& inventory) {
  JsonArray checks;
  for (const Finding& finding : report.findings) {
    checks.push_back(Json::object({{"id", finding.id},
                                   {"severity", severity_name(finding.outcome.severity)},
                                   {"what", finding.outcome.what},
                                   {"evidence", Json(finding.outcome.evidence)},
                                   {"remedy", finding.outcome.remedy},
                                   {"seconds", finding.seconds}}));
  }
  // Written by the inventory's own writer, which is the one who knows its fields.
  Result<Json> written = parse_json(to_json(inventory));
  return Json::object({{"schema", 1},
                       {"severity", severity_name(worst(report.findings))},
                       {"seconds", report.seconds},
                       {"checks", Json(std::move(checks))},
                       {"inventory", written.ok() ? std::move(written).value() : Json()}});
}

std::string report_text(const DoctorReport& report) {
  std::string out;
  for (const Severity severity : {Severity::kError, Severity::kWarning, Severity::kInfo}) {
    for (const Finding& finding : report.findings) {
      if (finding.outcome.severity != severity) {
        continue;
      }
      out +=
          fmt::format("{:<8} {}: {}\n", severity_name(severity), finding.id, finding.outcome.what);
      if (!finding.outcome.remedy.empty()) {
        out += fmt::format("         {}\n", finding.outcome.remedy);
      }
    }
  }
  const auto count = [&](Severity severity) {
    return std::count_if(report.findings.begin(), report.findings.end(), [&](const Finding& f) {
      return f.outcome.severity == severity;
    });
  };
  return out + fmt::format(
                   "{} checks in {}: {} ok, {} worth knowing, {} warnings, {} errors, {} skipped\n",
                   report.findings.size(),
                   format_seconds(report.seconds),
                   count(Severity::kOk),
                   count(Severity::kInfo),
                   count(Severity::kWarning),
                   count(Severity::kError),
                   count(Severity::kSkipped));
}

std::vector<std::string> launch_lines(const std::vector<Finding>& findings) {
  std::vector<std::string> lines;
  for (const Finding& finding : findings) {
    const Outcome& outcome = finding.outcome;
    if (outcome.severity >= Severity::kWarning && of_machine(finding)) {
      lines.push_back(fmt::format("doctor: {}: {}{}{}",
                                  finding.id,
                                  outcome.what,
                                  outcome.remedy.empty() ? "" : ". To do: ",
                                  outcome.remedy));
    }
  }
  return lines;
}

}  // namespace tutti
