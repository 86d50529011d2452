// Whether a call keeps the contract of its operation.
#pragma once
#include "ops/op_calls.h"

namespace tutti {

/// Ends the program if not: with the argument, what it is and what was wanted.
void check_op(const OpCall& op);

}  // namespace tutti
