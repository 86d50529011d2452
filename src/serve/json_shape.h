// A look at JSON text before it is parsed: a parsed value takes dozens of bytes for each "0," of
// the text, and very long numbers take a parser quadratic time. Linear, allocates nothing.
#pragma once
#include <string_view>

#include "base/status.h"
#include "serve/http_limits.h"

namespace tutti {

/// kInvalidArgument if `text` begins with a byte order mark or has more values, more keys or longer
/// numbers than the limits allow. Says nothing about whether it is JSON.
Status check_json_shape(std::string_view text, const HttpLimits& limits);

}  // namespace tutti
