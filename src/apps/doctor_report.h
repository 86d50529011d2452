// What `tutti doctor` prints: the inventory in a few lines for people.
#pragma once
#include <string>

#include "inventory/inventory.h"

namespace tutti {

/// Lines of text. A fact that could not be known is left out; `errors` are listed as they are.
std::string doctor_report(const Inventory& inventory);

}  // namespace tutti
