// Errors that the driver logs by number (Xid), and what to do about each.
#pragma once
#include <cstdint>

#include "doctor/finding.h"

namespace tutti {

struct XidMeaning {
  int64_t code;
  Severity severity;
  const char* what;
  const char* remedy;
};

/// Codes that are in no table are a warning that says so.
const XidMeaning& meaning_of_xid(int64_t code);

}  // namespace tutti
