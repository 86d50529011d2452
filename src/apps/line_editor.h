// The line editor of a chat: libedit with bracketed paste, history over runs, and Ctrl-C that ends
// a line and no more (docs/adr/0035-line-editing.md).
#pragma once
#include <memory>
#include <string>

#include "apps/line_reader.h"

namespace tutti {

/// nullptr: standard input or standard error is no terminal, or none that can move its cursor.
/// While it lives the terminal echoes nothing by itself and marks pastes, also during answers, so
/// that what is typed or pasted then waits whole for the next line.
std::unique_ptr<LineReader> open_line_editor(const std::string& history_file);

}  // namespace tutti
