#include "apps/cli_docs.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/common.h"
#include "apps/completion.h"
#include "apps/flag_checks.h"
#include "apps/man_page.h"
#include "base/file.h"

namespace tutti {

namespace {

// The words of "{auto,off}", "auto or off" or "auto, cpu, cuda"; none of anything else.
std::vector<std::string> words_of(std::string text) {
  for (const char* between : {" or ", ", "}) {
    for (size_t at = 0; (at = text.find(between, at)) != std::string::npos;) {
      text.replace(at, std::string_view(between).size(), ",");
    }
  }
  if (text.starts_with('{') && text.ends_with('}')) {
    text = text.substr(1, text.size() - 2);
  }
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == ',';
  });
  if (!plain || text.find(',') == std::string::npos) {
    return {};
  }
  std::vector<std::string> out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

// "INT in [1 - 64]" as "1 to 64"; other words as they are.
std::string bounds_of(const std::string& text) {
  const size_t open = text.find(" in [");
  if (open == std::string::npos || !text.ends_with(']')) {
    return text;
  }
  std::string bounds = text.substr(open + 5, text.size() - open - 6);
  if (const size_t dash = bounds.find(" - "); dash != std::string::npos) {
    bounds.replace(dash, 3, " to ");
  }
  return bounds;
}

OptionDoc describe_option(const CLI::Option& option) {
  OptionDoc out{.help = option.get_description(),
                .group = option.get_group(),
                .required = option.get_required()};
  if (option.get_positional()) {
    out.names = {option.get_name(true)};
  }
  for (const std::string& name : option.get_snames()) {
    out.names.push_back("-" + name);
  }
  for (const std::string& name : option.get_lnames()) {
    out.names.push_back("--" + name);
  }
  if (option.get_items_expected_max() > 0) {
    const std::string type = option.get_type_name();  // "TEXT:{auto,off}", "INT:INT in [1 - 64]"
    const size_t colon = std::min(type.find(':'), type.size());
    const std::string wanted = type.substr(std::min(colon + 1, type.size()));
    out.type = type.substr(0, colon);
    out.choices = words_of(wanted);
    out.bounds = out.choices.empty() ? bounds_of(wanted) : "";
    out.default_text = option.get_default_str();
  }
  return out;
}

CommandDoc describe(const CLI::App& app, const std::string& parent) {
  CommandDoc out{.name = parent.empty() ? app.get_name() : parent + " " + app.get_name(),
                 .help = app.get_description(),
                 .footer = app.get_footer()};
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) {
      (option->get_positional() ? out.arguments : out.options).push_back(describe_option(*option));
    }
  }
  for (const CLI::App* one :
       app.get_subcommands([](const CLI::App* any) { return !any->get_group().empty(); })) {
    out.subcommands.push_back(describe(*one, out.name));
  }
  return out;
}

int print_completion(const CommandDoc& root, const std::string& shell) {
  std::fputs(completion_script(root, shell).c_str(), stdout);
  return 0;
}

int print_man_page(const CommandDoc& root, const std::vector<std::string>& command) {
  const CommandDoc* at = &root;
  for (const std::string& word : command) {
    const auto found = std::find_if(at->subcommands.begin(),
                                    at->subcommands.end(),
                                    [&](const CommandDoc& one) { return one.word() == word; });
    if (found == at->subcommands.end()) {
      std::vector<std::string> words;
      for (const CommandDoc& one : at->subcommands) {
        words.push_back(one.word());
      }
      std::fprintf(stderr,
                   "%s\n",
                   fmt::format("tutti man: {} has no command {}{}{}",
                               at->name,
                               word,
                               words.empty() ? "" : "; there are ",
                               fmt::join(words, ", "))
                       .c_str());
      return 64;  // sysexits.h EX_USAGE
    }
    at = &*found;
  }
  std::fputs(man_page(*at).c_str(), stdout);
  return 0;
}

int write_man_pages(const CommandDoc& command, const std::string& folder) {
  const std::string path = join_path(folder, page_name(command.name) + ".1");
  std::FILE* file = std::fopen(path.c_str(), "w");
  const std::string page = man_page(command);
  const bool written =
      file != nullptr && std::fwrite(page.data(), 1, page.size(), file) == page.size();
  if (file == nullptr || std::fclose(file) != 0 || !written) {
    return fail(error(StatusCode::kUnavailable, "{}: {}", path, std::strerror(errno)));
  }
  for (const CommandDoc& one : command.subcommands) {
    if (const int code = write_man_pages(one, folder); code != 0) {
      return code;
    }
  }
  return 0;
}

}  // namespace

CommandDoc describe_command(const CLI::App& app) {
  return describe(app, "");
}

void add_docs(CLI::App& app, DocsFlags& flags, std::function<int()>& chosen) {
  auto* completion =
      app.add_subcommand("completion", "Print a shell's script that completes commands and flags");
  completion->footer(
      "An installation brings the scripts along. Without one:\n"
      "  eval \"$(tutti completion bash)\"                    in ~/.bashrc\n"
      "  tutti completion zsh > ~/.zfunc/_tutti             with ~/.zfunc in fpath\n"
      "  tutti completion fish > ~/.config/fish/completions/tutti.fish");
  completion->add_option("SHELL", flags.shell, "Whose script")
      ->required()
      ->check(one_of({"bash", "zsh", "fish"}));
  completion->callback(
      [&] { chosen = [&] { return print_completion(describe_command(app), flags.shell); }; });

  auto* man = app.add_subcommand("man", "Print a man page, of tutti or of one of its commands");
  man->footer("Example:\n  tutti man bench serve | man -l -");
  man->add_option("COMMAND", flags.command, "The command's words; none: tutti itself");
  man->add_option("--all", flags.folder, "Write every page into this folder instead")
      ->type_name("FOLDER");
  man->callback([&] {
    chosen = [&] {
      return flags.folder.empty() ? print_man_page(describe_command(app), flags.command)
                                  : write_man_pages(describe_command(app), flags.folder);
    };
  });
}

}  // namespace tutti
