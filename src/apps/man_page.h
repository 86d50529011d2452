// Man pages of section 1, in the man macros that groff and mandoc read.
#pragma once
#include <string>

#include "apps/command_docs.h"

namespace tutti {

/// Of one command; of those under it the names and what they do.
std::string man_page(const CommandDoc& command);

/// "tutti-bench-serve" of "tutti bench serve".
std::string page_name(const std::string& command);

}  // namespace tutti
