// The table of the doctor's checks. A check is a pure function of what is known of the machine, so
// that a file of it gives the same findings anywhere.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "doctor/finding.h"
#include "inventory/inventory.h"
#include "plan/plan.h"

namespace tutti {

/// What only the machine itself can answer, and a model if one was named.
struct Live {
  /// Why a server cannot listen at its usual address; empty: it can.
  std::optional<std::string> port_error;
  double peer_seconds = 0;  ///< that the test of data between GPUs took
};

struct ModelQuestion {
  std::string name;
  Status found;              ///< why there is no such model, or its files are not whole
  std::optional<Plan> plan;  ///< empty: nothing could be planned
};

struct Examined {
  const Inventory& inventory;
  const Live* live = nullptr;            ///< nullptr: of a file
  const ModelQuestion* model = nullptr;  ///< nullptr: none was named
};

enum class Needs { kNothing, kGpus, kSeveralGpus, kModel };

struct Check {
  const char* id;        ///< "link.p2p_data"
  Needs needs;           ///< else it is skipped
  const char* question;  ///< for people: "data moved between GPUs arrive"
  const char* looks_at;  ///< file or call
  Outcome (*look)(const Examined& machine);
};

/// In the order in which they are shown: what explains others comes first.
const std::vector<Check>& all_checks();

/// Runs them all. `seconds` of each is its own time.
std::vector<Finding> examine(const Examined& machine);

// Parts of the table.
std::span<const Check> presence_checks();
std::span<const Check> driver_checks();
std::span<const Check> gpu_checks();
std::span<const Check> link_checks();
std::span<const Check> host_checks();
std::span<const Check> software_checks();

}  // namespace tutti
