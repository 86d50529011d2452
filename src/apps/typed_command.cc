#include "apps/typed_command.h"

#include <algorithm>

#include "apps/foreign_flags.h"
#include "apps/mistyped.h"

namespace tutti {

namespace {

std::vector<std::string> names_of_flags(const CLI::App& command) {
  std::vector<std::string> out;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_group().empty()) {
      continue;
    }
    for (const std::string& name : option->get_lnames()) {
      out.push_back("--" + name);
    }
    for (const std::string& name : option->get_snames()) {
      out.push_back("-" + name);
    }
  }
  return out;
}

// Says what is wrong with the words before the flags; ok: nothing.
Status check_command(const TypedCommand& command, const std::vector<std::string>& args) {
  const std::vector<std::string> names = names_of_commands(*command.app);
  if (names.empty() || command.words == args.size()) {
    return ok_status();
  }
  const std::string& next = args[command.words];
  if (!next.starts_with("-")) {
    return invalid("{}", unknown_command(next, command.name, names));
  }
  if (command.app->get_option_no_throw(next) == nullptr) {
    return invalid("tutti{}: {} stands before the command; wanted for example tutti {} {}",
                   command.name.empty() ? "" : " " + command.name,
                   next,
                   command.name.empty() ? "serve" : command.name + " " + names.front(),
                   next);
  }
  return ok_status();
}

// How a command is named before what is wrong with its flags.
Status flag_error(const TypedCommand& command, const std::string& what) {
  return invalid("tutti {}: {}; tutti {} --help", command.name, what, command.name);
}

std::vector<const CLI::Validator*> validators_of(CLI::Option& option) {
  std::vector<const CLI::Validator*> all;
  try {
    while (true) {
      all.push_back(option.get_validator(static_cast<int>(all.size())));
    }
  } catch (const CLI::OptionNotFound&) {  // how it tells the end
  }
  return all;
}

Status check_value(const TypedCommand& command,
                   CLI::Option& option,
                   const std::string& name,
                   const std::string& value) {
  for (const CLI::Validator* validator : validators_of(option)) {
    std::string text = value;
    std::string wrong = (*validator)(text);
    // The value stands before it.
    if (const size_t wanted = wrong.find(", wanted");
        wrong.starts_with("got ") && wanted < wrong.size()) {
      wrong.erase(0, wanted + 2);
    }
    if (!wrong.empty()) {
      return flag_error(command, fmt::format("{} {}: {}", name, value, wrong));
    }
  }
  return ok_status();
}

std::string example_of(const CLI::Option& option, const std::string& name) {
  const std::string usual = option.get_default_str();
  return usual.empty() ? "" : fmt::format(", for example {} {}", name, usual);
}

bool is_flag(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && word[1] > ' ';
}

// Refuses the first mistake among the flags. `args`: without the command's name.
Status check_flags(const TypedCommand& command, const std::vector<std::string>& args) {
  std::vector<const CLI::Option*> seen;
  for (size_t i = 0; i < args.size() && args[i] != "--"; ++i) {
    const std::string& arg = args[i];
    if (!is_flag(arg)) {
      continue;
    }
    // Of "-qh" the first letter decides: the parser takes such a word apart.
    const size_t equals = arg[1] == '-' ? arg.find('=') : std::string::npos;
    const std::string name = arg[1] == '-' ? arg.substr(0, equals) : arg.substr(0, 2);
    CLI::Option* option = command.app->get_option_no_throw(name);
    if (option == nullptr) {
      return invalid("{}", unknown_flag(arg, command.name, names_of_flags(*command.app)));
    }
    if (option->get_items_expected_min() == 0) {
      continue;
    }
    const bool apart = arg == name;
    // "--port --host x": the value was forgotten. A negative number is none of our flags.
    const bool forgotten =
        apart &&
        (i + 1 == args.size() ||
         (is_flag(args[i + 1]) && command.app->get_option_no_throw(args[i + 1]) != nullptr));
    if (forgotten || (equals != std::string::npos && equals + 1 == arg.size())) {
      return flag_error(command,
                        fmt::format("{}: a value must follow{}", name, example_of(*option, name)));
    }
    if (std::find(seen.begin(), seen.end(), option) != seen.end()) {
      return flag_error(command, fmt::format("{}: given twice, wanted once", name));
    }
    seen.push_back(option);
    const std::string value = apart                         ? args[++i]
                              : equals != std::string::npos ? arg.substr(equals + 1)
                                                            : arg.substr(name.size());
    TUTTI_RETURN_IF_ERROR(check_value(command, *option, name, value));
  }
  return ok_status();
}

}  // namespace

std::vector<std::string> names_of_commands(const CLI::App& app) {
  std::vector<std::string> out;
  for (const CLI::App* one :
       app.get_subcommands([](const CLI::App* any) { return !any->get_group().empty(); })) {
    out.push_back(one->get_name());
  }
  return out;
}

TypedCommand typed_command(CLI::App& app, const std::vector<std::string>& args) {
  TypedCommand out{.app = &app, .name = ""};
  while (out.words < args.size()) {
    const auto named = out.app->get_subcommands(
        [&](const CLI::App* one) { return one->get_name() == args[out.words]; });
    if (named.empty()) {
      break;
    }
    out.app = named.front();
    out.name += (out.name.empty() ? "" : " ") + args[out.words];
    ++out.words;
  }
  return out;
}

std::vector<std::string> typed_arguments(int argc, char** argv) {
  std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
  if (!args.empty() && args[0] == "help") {
    args.erase(args.begin());
    args.emplace_back("--help");
  } else if (args.size() == 1 && (args[0] == "-v" || args[0] == "-V" || args[0] == "-version")) {
    args[0] = "--version";
  }
  return args;
}

Result<std::vector<std::string>> translated_arguments(const TypedCommand& command,
                                                      std::vector<std::string> args) {
  TUTTI_RETURN_IF_ERROR(check_command(command, args));
  const auto option = [&](std::string_view flag) {
    return command.app->get_option_no_throw(std::string(flag));
  };
  const auto first = args.begin() + static_cast<std::ptrdiff_t>(command.words);
  const Result<std::vector<std::string>> translated = translate_foreign_flags(
      {first, args.end()},
      {.has = [&](std::string_view flag) { return option(flag) != nullptr; },
       .takes_value =
           [&](std::string_view flag) { return option(flag)->get_items_expected_min() > 0; }});
  if (!translated.ok()) {
    return flag_error(command, translated.status().message());
  }
  const std::vector<std::string>& rest = *translated;
  TUTTI_RETURN_IF_ERROR(check_flags(command, rest));
  args.erase(first, args.end());
  args.insert(args.end(), rest.begin(), rest.end());
  return args;
}

std::string unexpected_word(const TypedCommand& command,
                            const CLI::App& app,
                            const std::vector<std::string>& args) {
  const std::vector<std::string> extra = app.remaining(true);
  const std::string word = extra.empty() ? "" : extra.front();
  const auto at = std::find(args.begin(), args.end(), word);
  const bool after_q = at != args.begin() && at != args.end() && *(at - 1) == "-q";
  return fmt::format("tutti {}: \"{}\" is one word too many{}; tutti {} --help",
                     command.name,
                     word,
                     command.name == "run" ? ": a prompt of several words stands in quotes"
                     : after_q ? ": -q is --quiet here, and MODEL's files say how it is quantised"
                               : "",
                     command.name);
}

}  // namespace tutti
