// Scripts that complete commands, flags and their values in bash, zsh and fish.
#pragma once
#include <string>

#include "apps/command_docs.h"

namespace tutti {

/// `shell`: bash, zsh or fish. Values without a list are files where the type may be a path (FILE,
/// TEXT), nothing where it is a number. MODEL is a directory or a name of the catalogue.
std::string completion_script(const CommandDoc& root, const std::string& shell);

}  // namespace tutti
