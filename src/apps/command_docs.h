// The command line as data, for what is generated from it: completion in shells, man pages.
#pragma once
#include <string>
#include <vector>

namespace tutti {

struct OptionDoc {
  std::vector<std::string> names;    ///< "-q", "--quiet"; of an argument one, "MODEL"
  std::string type;                  ///< of its value: "INT", "TEXT", "FILE"; "": takes none
  std::vector<std::string> choices;  ///< the only values; empty: others
  std::string bounds;                ///< "1 to 64"; "": none told
  std::string default_text;          ///< "": none told
  std::string help;
  std::string group;  ///< "Options", "Limits", "For tests"
  bool required = false;

  /// A long one if there is any.
  const std::string& name() const { return names.back(); }
};

/// Only what is for people.
struct CommandDoc {
  std::string name;  ///< with its parents, "tutti bench serve"
  std::string help;
  std::string footer;  ///< "Examples:\n  tutti run …"
  std::vector<OptionDoc> options;
  std::vector<OptionDoc> arguments;  ///< in the order in which they are typed
  std::vector<CommandDoc> subcommands;

  /// "serve" of "tutti bench serve".
  std::string word() const { return name.substr(name.rfind(' ') + 1); }
};

}  // namespace tutti
