#include "doctor/finding.h"

#include <algorithm>

namespace tutti {

const char* severity_name(Severity severity) {
  switch (severity) {
    case Severity::kSkipped:
      return "skipped";
    case Severity::kOk:
      return "ok";
    case Severity::kInfo:
      return "info";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      break;
  }
  return "error";
}

Severity worst(const std::vector<Finding>& findings) {
  Severity worst = Severity::kOk;
  for (const Finding& finding : findings) {
    worst = std::max(worst, finding.outcome.severity);
  }
  return worst;
}

int exit_code_of(Severity severity) {
  return severity == Severity::kError ? 2 : severity == Severity::kWarning ? 1 : 0;
}

}  // namespace tutti
