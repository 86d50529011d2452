// What one check of the doctor found.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"

namespace tutti {

enum class Severity {
  kSkipped,  ///< it could not be looked at; `what` says why
  kOk,
  kInfo,     ///< worth knowing; nothing has to be done
  kWarning,  ///< slower, or less of the machine, than there could be
  kError,    ///< a model will not start, or will fail, on what this is about
};

/// "skipped", "ok", "info", "warning" or "error".
const char* severity_name(Severity severity);

struct Outcome {
  Severity severity = Severity::kOk;
  std::string what;     ///< one line
  JsonObject evidence;  ///< the facts it was concluded from
  std::string remedy;   ///< one line: what to type or to change; empty: nothing
};

struct Finding {
  std::string id;
  Outcome outcome;
  double seconds = 0;
};

/// The most severe of them; kOk where there are none. What was skipped does not count.
Severity worst(const std::vector<Finding>& findings);

/// 0 (ok, info), 1 (warning) or 2 (error).
int exit_code_of(Severity severity);

}  // namespace tutti
