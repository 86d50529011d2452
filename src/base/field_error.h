// The error of one field of a request.
#pragma once
#include <string>

#include "base/status.h"

namespace tutti {

/// kInvalidArgument "path: what", about the field at `path` ("messages[2].content").
inline Status field_error(const std::string& path, const std::string& what) {
  return invalid("{}: {}", path, what).with_param(path);
}

}  // namespace tutti
