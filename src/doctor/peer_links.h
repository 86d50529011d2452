// What a test of data between GPUs tells an inventory.
#pragma once
#include <vector>

#include "backend/peer_report.h"
#include "inventory/inventory.h"

namespace tutti {

/// CUDA's indices of the GPUs between which data can be moved: whole ones that CUDA shows.
std::vector<int> gpus_to_test(const Inventory& inventory);

/// Fills data_test of the links: "pass" if data arrived both ways. Pairs without peer access stay
/// "not_run". Where each pair works alone and not all together, none has passed.
void add_peer_results(const PeerReport& report, Inventory& inventory);

}  // namespace tutti
