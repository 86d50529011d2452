// The inventory of the machine that the program runs on.
#pragma once
#include <string>
#include <vector>

#include "inventory/inventory.h"
#include "plan/machine.h"

namespace tutti {

/// CUDA and NVML are asked in children of this program (`tutti doctor --ask`), since a sick driver
/// may hang or end whoever asks it. Never fails: what could not be known is null.
Inventory this_inventory();

/// Keeps how many GPUs NVML showed when a model started well: the count that `counts.last_good` of
/// later inventories tells, so that one that fell off the bus is missed.
void remember_good_start(int64_t gpus);

/// Moves data between all pairs of its GPUs, in a child that is ended when it hangs, and keeps the
/// results in the inventory. Seconds that it took.
double test_peers_of(Inventory& inventory);

/// Measures each GPU that CUDA shows, one after the other, in a child, and keeps the results in the
/// inventory.
void measure_speed_of(Inventory& inventory);

/// What the doctor says before a launch: warnings and errors, a line each. Nothing is tested.
std::vector<std::string> doctor_lines(const Inventory& inventory);

/// The PCI bus shows GPUs of NVIDIA's, which without a driver nobody can use.
bool gpus_without_driver();

/// It as plans see it, with what `tutti calibrate` has measured.
Machine this_machine();
Machine calibrated_machine(const Inventory& inventory);

}  // namespace tutti
