// What the parser knows, as plain data, and the commands that print texts made of it. Only the
// cli*.cc include this.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "apps/command_docs.h"

namespace tutti {

/// Of `app` and everything under it.
CommandDoc describe_command(const CLI::App& app);

struct DocsFlags {
  std::string shell;
  std::vector<std::string> command;  ///< "bench", "serve"
  std::string folder;                ///< for every page; empty: one goes to standard output
};

/// `tutti completion SHELL` and `tutti man [COMMAND]`: `chosen` gets what to run.
void add_docs(CLI::App& app, DocsFlags& flags, std::function<int()>& chosen);

}  // namespace tutti
