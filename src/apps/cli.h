// The command line. The only file that knows CLI11 is cli.cc: its headers take seconds to compile.
#pragma once

namespace tutti {

/// Parses and runs one command; returns the process exit code.
int run_cli(int argc, char** argv);

}  // namespace tutti
