// What crashed programs left in /dev/shm: the next start has that much less room there.
#pragma once
#include <vector>

#include "inventory/inventory.h"
#include "inventory/system.h"

namespace tutti {

/// Files /dev/shm/nccl-* that no process seen here has mapped or open. A file whose owner runs a
/// process that cannot be looked into counts as used. Processes of other containers that share
/// /dev/shm are out of sight, so nothing should be removed unasked.
std::vector<StaleFile> stale_nccl_files(const System& system);

}  // namespace tutti
