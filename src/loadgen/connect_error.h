// Why there is no connection, in words an operator can act on.
#pragma once
#include <boost/system/error_code.hpp>

#include "loadgen/target.h"

namespace tutti::loadgen {

Status connect_error(const Target& target, const boost::system::error_code& ec);

}  // namespace tutti::loadgen
