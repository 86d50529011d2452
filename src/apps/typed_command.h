// What was typed, before it is parsed: which command, with the flags of other servers translated,
// and what is wrong with it, in the order in which it was typed. Only the cli*.cc include this.
#pragma once
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/status.h"

namespace tutti {

/// The command that was typed, "bench serve", and the number of words that name it.
struct TypedCommand {
  CLI::App* app;
  std::string name;
  size_t words = 0;
};

/// The words behind the program's name; "help serve" and "-v" become what other programs have them
/// for.
std::vector<std::string> typed_arguments(int argc, char** argv);

TypedCommand typed_command(CLI::App& app, const std::vector<std::string>& args);

/// The commands under this one that are for people.
std::vector<std::string> names_of_commands(const CLI::App& app);

/// `args` for the parser. kInvalidArgument: the first mistake.
Result<std::vector<std::string>> translated_arguments(const TypedCommand& command,
                                                      std::vector<std::string> args);

/// Of words that no argument takes, after parsing `args`: a prompt without quotes is the usual
/// reason, or what -q means elsewhere.
std::string unexpected_word(const TypedCommand& command,
                            const CLI::App& app,
                            const std::vector<std::string>& args);

}  // namespace tutti
