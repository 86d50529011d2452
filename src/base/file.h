// Reading whole files with clear errors.
#pragma once
#include <cstdint>
#include <string>

#include "base/status.h"

namespace tutti {

/// Whole content of a regular file of at most `max_bytes`. Devices, FIFOs and directories are
/// refused.
Result<std::string> read_file(const std::string& path, int64_t max_bytes = int64_t{1} << 31);

/// Whole content of what somebody named on a command line: any file that is no directory, also a
/// pipe as bash's <(command), read to its end, or "-", standard input. What is no regular file may
/// have at most 256 MiB.
Result<std::string> read_input(const std::string& path, int64_t max_bytes = int64_t{1} << 31);

/// What messages call `path`, if read_input() reads it.
std::string input_name(const std::string& path);

bool file_exists(const std::string& path);
bool is_directory(const std::string& path);

/// "dir/name", without doubling the slash.
std::string join_path(const std::string& directory, const std::string& name);

}  // namespace tutti
