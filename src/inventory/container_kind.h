// What the program runs in. Advice differs: a flag of docker, a line of a pod, a setting of a host.
#pragma once
#include <string>

#include "inventory/system.h"

namespace tutti {

/// "kubernetes", "podman", "docker", "wsl", "vm" or "bare". A container in a virtual machine is a
/// container: that is what its user can change.
std::string container_kind(const System& system);

/// Whether the machine is a virtual one, seen from a container in it as well.
bool in_virtual_machine(const System& system);

}  // namespace tutti
