// What may stand between GPUs that write to each other over PCIe.
#pragma once
#include "inventory/inventory.h"
#include "inventory/system.h"

namespace tutti {

/// Fills host.iommu and host.acs_redirect for the GPUs that sysfs shows. The latter stays empty
/// where the configuration of bridges may not be read: that takes root.
void add_peer_path_facts(const System& system, HostFacts& host);

}  // namespace tutti
