#include "apps/completion.h"

#include <algorithm>
#include <functional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"
#include "plan/catalogue.h"

namespace tutti {

namespace {

enum class Values { kNone, kWords, kFiles, kModels, kOther };

Values values_of(const OptionDoc& option) {
  if (option.type.empty()) {
    return Values::kNone;
  }
  if (!option.choices.empty()) {
    return Values::kWords;
  }
  if (option.name() == "MODEL") {
    return Values::kModels;
  }
  return option.type == "FILE" ? Values::kFiles : Values::kOther;
}

/// Names that plans know; those of the catalogue that ships with the program, so there are any.
std::vector<std::string> model_names() {
  std::vector<std::string> out;
  const Result<Catalogue> catalogue = Catalogue::load();
  TUTTI_CHECK(catalogue.ok());
  for (const CatalogueModel& model : catalogue->models()) {
    out.push_back(model.name);
  }
  return out;
}

void each_command(const CommandDoc& command, const std::function<void(const CommandDoc&)>& see) {
  see(command);
  for (const CommandDoc& one : command.subcommands) {
    each_command(one, see);
  }
}

std::vector<std::string> subcommand_words(const CommandDoc& command) {
  std::vector<std::string> out;
  for (const CommandDoc& one : command.subcommands) {
    out.push_back(one.word());
  }
  return out;
}

std::vector<std::string> flag_names(const CommandDoc& command) {
  std::vector<std::string> out;
  for (const OptionDoc& option : command.options) {
    out.insert(out.end(), option.names.begin(), option.names.end());
  }
  return out;
}

/// The first sentence, or what comes before a list in brackets, on one line.
std::string short_help(const std::string& help) {
  const size_t end = std::min({help.find(". "), help.find("; "), help.find(" ("), help.find('\n')});
  return help.substr(0, end);
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
  return text;
}

/// In single quotes, as bash, zsh and fish read them; fish also takes backslashes there.
std::string quoted(const std::string& text, const std::string& shell) {
  return "'" +
         (shell == "fish" ? replaced(replaced(text, "\\", "\\\\"), "'", "\\'")
                          : replaced(text, "'", "'\\''")) +
         "'";
}

// ---- bash

std::string bash_values(const OptionDoc& option) {
  switch (values_of(option)) {
    case Values::kWords:
      return fmt::format(" words='{}'", fmt::join(option.choices, " "));
    case Values::kFiles:
      return " files=1";
    case Values::kModels:
      return " models=1";
    case Values::kNone:
    case Values::kOther:
      break;
  }
  return "";
}

std::string bash_script(const CommandDoc& root) {
  std::string names;      // command line -> flags and subcommands
  std::string of_flags;   // "command line:flag" -> values
  std::string arguments;  // command line -> values of its arguments
  each_command(root, [&](const CommandDoc& command) {
    std::vector<std::string> flags = flag_names(command);
    names += fmt::format("    '{}') commands='{}' flags='{}' ;;\n",
                         command.name,
                         fmt::join(subcommand_words(command), " "),
                         fmt::join(flags, " "));
    for (const OptionDoc& option : command.options) {
      if (option.type.empty()) {
        continue;
      }
      for (const std::string& name : option.names) {
        of_flags +=
            fmt::format("    '{} {}') takes=1{} ;;\n", command.name, name, bash_values(option));
      }
    }
    if (!command.arguments.empty()) {
      arguments +=
          fmt::format("    '{}'){} ;;\n", command.name, bash_values(command.arguments.front()));
    }
  });
  return fmt::format(R"(# bash completion of tutti, made by `tutti completion bash`
_tutti_names() {{  # sets commands and flags of $1
  commands= flags=
  case $1 in
{}  esac
}}

_tutti_flag() {{  # of $1: takes=1 if it takes a value, and which
  takes= words= files= models=
  case $1 in
{}  esac
}}

_tutti_argument() {{  # of $1
  case $1 in
{}  esac
}}

_tutti() {{
  local commands flags takes words files models i word command=tutti
  # "--flag=value" comes as three words where COMP_WORDBREAKS has an equals sign.
  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
  if [[ $current == = ]]; then
    current=
  elif [[ $before == = ]] && ((COMP_CWORD > 1)); then
    before=${{COMP_WORDS[COMP_CWORD-2]}}
  fi
  _tutti_names "$command"
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${{COMP_WORDS[i]}}
    [[ " $commands " == *" $word "* ]] || break
    command+=" $word"
    _tutti_names "$command"
  done
  COMPREPLY=()
  _tutti_flag "$command $before"
  if [[ -z $takes ]]; then
    if [[ $current == -* ]]; then
      words=$flags
    elif [[ -n $commands ]]; then
      words=$commands
    else
      _tutti_argument "$command"
    fi
  fi
  if [[ -n $models ]]; then
    words='{}'
    mapfile -t COMPREPLY < <(compgen -d -- "$current")
    compopt -o filenames 2> /dev/null
  elif [[ -n $files ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    compopt -o filenames 2> /dev/null
  fi
  if [[ -n $words ]]; then
    mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}}
complete -F _tutti tutti
)",
                     names,
                     of_flags,
                     arguments,
                     fmt::join(model_names(), " "));
}

// ---- zsh

/// Inside [...] and :...: of _arguments.
std::string zsh_text(const std::string& text) {
  std::string out;
  for (const char c : short_help(text)) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') {
      out.push_back('\\');
    }
    out.push_back(c);
  }
  return out;
}

std::string zsh_action(const OptionDoc& option) {
  switch (values_of(option)) {
    case Values::kWords:
      return fmt::format("({})", fmt::join(option.choices, " "));
    case Values::kFiles:
      return "_files";
    case Values::kModels:
      return "__tutti_model";
    case Values::kNone:
    case Values::kOther:
      break;
  }
  return " ";
}

std::string zsh_function(const std::string& name) {
  return "_" + replaced(replaced(name, " ", "_"), "-", "_");
}

void add_zsh_command(std::string& out, const CommandDoc& command) {
  out += fmt::format("{}() {{\n", zsh_function(command.name));
  if (!command.subcommands.empty()) {
    out += "  local line state\n";
  }
  out += "  _arguments -s -S";
  for (const OptionDoc& option : command.options) {
    const std::string value =
        option.type.empty()
            ? ""
            : fmt::format(":{}:{}", replaced(option.type, ":", ""), zsh_action(option));
    for (const std::string& name : option.names) {
      // "--flag=": also the form with an equals sign.
      const bool with_equals = !value.empty() && name.starts_with("--");
      const std::string others =
          option.names.size() > 1 ? fmt::format("({})", fmt::join(option.names, " ")) : "";
      out += " \\\n    " + quoted(fmt::format("{}{}{}[{}]{}",
                                              others,
                                              name,
                                              with_equals ? "=" : "",
                                              zsh_text(option.help),
                                              value),
                                  "zsh");
    }
  }
  if (command.subcommands.empty()) {
    for (const OptionDoc& argument : command.arguments) {
      out +=
          " \\\n    " +
          quoted(
              fmt::format(
                  "{}{}:{}", argument.required ? ":" : "::", argument.name(), zsh_action(argument)),
              "zsh");
    }
    out += "\n}\n\n";
    return;
  }
  out +=
      " \\\n    '1: :->command' '*:: :->rest'\n  case $state in\n    command)\n      local -a "
      "commands=(\n";
  for (const CommandDoc& one : command.subcommands) {
    out += fmt::format("        {}\n",
                       quoted(one.word() + ":" + replaced(one.help, ":", "\\:"), "zsh"));
  }
  out += "      )\n      _describe command commands ;;\n    rest)\n      case $line[1] in\n";
  for (const CommandDoc& one : command.subcommands) {
    out += fmt::format("        {}) {} ;;\n", one.word(), zsh_function(one.name));
  }
  out += "      esac ;;\n  esac\n}\n\n";
}

std::string zsh_script(const CommandDoc& root) {
  std::string out = "#compdef tutti\n# zsh completion of tutti, made by `tutti completion zsh`\n\n";
  out += fmt::format(
      "__tutti_model() {{\n  _alternative 'directories:directory:_files -/' "
      "'names:name:({})'\n}}\n\n",
      fmt::join(model_names(), " "));
  each_command(root, [&](const CommandDoc& command) { add_zsh_command(out, command); });
  // As an autoloaded function its first call is to complete; sourced, it is to be known.
  return out +
         "if [[ $funcstack[1] == _tutti ]]; then\n  _tutti \"$@\"\nelse\n  compdef _tutti "
         "tutti\nfi\n";
}

// ---- fish

/// When a line is for `command`: its words stand in front.
std::string fish_condition(const CommandDoc& command) {
  const size_t space = command.name.find(' ');
  return space == std::string::npos ? "__tutti_is" : "__tutti_is " + command.name.substr(space + 1);
}

std::string fish_values(const OptionDoc& option) {
  switch (values_of(option)) {
    case Values::kWords:
      return fmt::format(" -x -a '{}'", fmt::join(option.choices, " "));
    case Values::kFiles:
      return " -r -F";
    case Values::kModels:
      return " -x -a '(__fish_complete_directories)'";
    case Values::kOther:
      return " -x";
    case Values::kNone:
      break;
  }
  return "";
}

std::string fish_script(const CommandDoc& root) {
  std::string out = R"(# fish completion of tutti, made by `tutti completion fish`
function __tutti_is --description 'Whether the words after tutti begin with these, and go on with no further command'
    set -l words (commandline -opc)
    set -e words[1]
    for word in $argv
        test "$words[1]" = "$word"; or return 1
        set -e words[1]
    end
    set -l more )";
  // Where a command has subcommands, its own flags and words end with one of them.
  std::vector<std::string> nested;
  each_command(root, [&](const CommandDoc& command) {
    for (const CommandDoc& one : command.subcommands) {
      nested.push_back(fmt::format("'{}'", one.name.substr(one.name.find(' ') + 1)));
    }
  });
  out += fmt::format("{}\n", fmt::join(nested, " "));
  out +=
      R"(    set -q words[1]; and contains -- (string join ' ' -- $argv $words[1]) $more; and return 1
    return 0
end

complete -c tutti -f
)";
  each_command(root, [&](const CommandDoc& command) {
    const std::string when = fmt::format("complete -c tutti -n '{}'", fish_condition(command));
    for (const CommandDoc& one : command.subcommands) {
      out += fmt::format("{} -a {} -d {}\n", when, one.word(), quoted(one.help, "fish"));
    }
    for (const OptionDoc& option : command.options) {
      out += when;
      for (const std::string& name : option.names) {
        out += name.starts_with("--") ? " -l " + name.substr(2)
               : name.size() == 2     ? " -s " + name.substr(1)
                                      : " -o " + name.substr(1);
      }
      out +=
          fmt::format("{} -d {}\n", fish_values(option), quoted(short_help(option.help), "fish"));
    }
    if (!command.arguments.empty()) {
      const OptionDoc& first = command.arguments.front();
      if (values_of(first) == Values::kModels) {
        out += fmt::format(
            "{} -a '(__fish_complete_directories) {}'\n", when, fmt::join(model_names(), " "));
      } else if (values_of(first) == Values::kWords) {
        out += fmt::format("{} -a '{}'\n", when, fmt::join(first.choices, " "));
      }
    }
  });
  return out;
}

}  // namespace

std::string completion_script(const CommandDoc& root, const std::string& shell) {
  if (shell == "bash") {
    return bash_script(root);
  }
  TUTTI_CHECK(shell == "zsh" || shell == "fish");
  return shell == "zsh" ? zsh_script(root) : fish_script(root);
}

}  // namespace tutti
