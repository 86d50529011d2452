// What the doctor says: for programs and for people.
#pragma once
#include <string>
#include <vector>

#include "doctor/finding.h"
#include "inventory/inventory.h"

namespace tutti {

struct DoctorReport {
  std::vector<Finding> findings;
  double seconds = 0;  ///< all of it, taking the inventory included
};

/// {"schema": 1, "severity", "seconds", "checks": [{"id", "severity", "what", "evidence", "remedy",
/// "seconds"}], "inventory"}
Json report_json(const DoctorReport& report, const Inventory& inventory);

/// The findings that are more than ok, most severe first, then how many there are of each kind.
std::string report_text(const DoctorReport& report);

/// Before a launch: one line for each warning and error, with its remedy; empty: none.
std::vector<std::string> launch_lines(const std::vector<Finding>& findings);

}  // namespace tutti
