// What the operations of a step cost beside what the hardware allows, for the bench commands.
#pragma once
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/json.h"
#include "engine/ranks/op_timer.h"

namespace tutti {

/// Shortest time that the ceilings allow for `bytes` and `flops`, in seconds; 0: no ceiling known.
double roofline_seconds(int64_t bytes, int64_t flops, const Ceilings& ceilings);

/// [{"op", "calls", "seconds", "bytes", "flops", "bytes_per_second", "flops_per_second",
/// "fraction_of_roofline"}, ...]; the last is left out where no ceiling is known.
Json ops_json(const std::vector<OpTiming>& ops, const Ceilings& ceilings);

/// {"read_bytes_per_second", "copy_bytes_per_second", "matmul_flops_per_second"}: those measured.
Json ceilings_json(const Ceilings& ceilings);

/// One line per operation, under `title`.
std::string ops_table(const std::string& title,
                      const std::vector<OpTiming>& ops,
                      const Ceilings& ceilings);

}  // namespace tutti
