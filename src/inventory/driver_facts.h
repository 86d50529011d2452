// The kernel's side of NVIDIA's driver.
#pragma once
#include "inventory/inventory.h"
#include "inventory/system.h"

namespace tutti {

/// Fills driver.version and driver.module from /proc/driver/nvidia/version.
void add_kernel_driver(const System& system, Inventory& inventory);

/// Device files, modules, helper processes, and what the driver wrote to the kernel's log.
void add_driver_surroundings(const System& system, Inventory& inventory);

}  // namespace tutti
