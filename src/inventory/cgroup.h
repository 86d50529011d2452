// What control groups leave to this process.
#pragma once
#include <cstdint>
#include <optional>

#include "inventory/system.h"

namespace tutti {

/// Bytes: the smallest limit of the process's groups, versions 1 and 2, from its own up to the
/// outermost that is mounted here; empty if none is set. In a container outer groups may be out of
/// sight; version 1 tells their smallest limit all the same, version 2 does not.
std::optional<int64_t> cgroup_memory_limit(const System& system);

/// CPUs' worth of time, the smallest quota on the same way; empty if none is set.
std::optional<double> cgroup_cpu_quota(const System& system);

/// How often the kernel ended a process of this group for want of memory; empty: not told.
std::optional<int64_t> cgroup_oom_kills(const System& system);

}  // namespace tutti
