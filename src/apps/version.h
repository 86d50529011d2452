// Which version this is; the build writes the function's file (cmake/WriteVersion.cmake).
#pragma once

namespace tutti {

/// "0.2.0", "0.2.0+5.g1a2b3c4" behind that tag, "0.1.0+g1a2b3c4.dirty" without a tag.
const char* program_version();

}  // namespace tutti
