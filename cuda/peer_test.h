// Whether one GPU can write and read another's memory, found out by moved data.
#pragma once
#include <vector>

#include "backend/peer_report.h"

namespace tutti::cuda {

/// For each pair: kernels and the copy engine of GPU `from` write to and read from GPU `to`, 4
/// bytes and 1 MiB; every byte is compared on the host. Says kTrying before each pair, then what
/// came of it. May hang where the hardware does. Leaves peer access as it was.
void test_peers(const std::vector<PeerResult>& pairs, const PeerSay& say);

}  // namespace tutti::cuda
