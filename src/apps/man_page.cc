#include "apps/man_page.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/version.h"
#include "base/utf8.h"

namespace tutti {

namespace {

/// Plain text as roff: a hyphen is one to copy, a dot or quote in front of a line no request, and
/// nothing depends on the encoding that a formatter takes a file to have.
std::string roff(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    const bool begins = at == 0 || text[at - 1] == '\n';
    if (c.code >= 0x80) {
      out += fmt::format("\\[u{:04X}]", static_cast<uint32_t>(c.code));
    } else if (c.code == '\\') {
      out += "\\e";
    } else if (c.code == '-') {
      out += "\\-";
    } else {
      out += begins && (c.code == '.' || c.code == '\'') ? "\\&" : "";
      out.push_back(text[at]);
    }
    at += static_cast<size_t>(c.length);
  }
  return out;
}

std::string bold(std::string_view text) {
  return "\\fB" + roff(text) + "\\fR";
}

std::string italic(std::string_view text) {
  return "\\fI" + roff(text) + "\\fR";
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  });
  return text;
}

void add_section(std::string& out, const std::string& title) {
  out += fmt::format(".SH {}\n", roff(upper(title)));
}

void add_option(std::string& out, const OptionDoc& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.names) {
    names.push_back(name.starts_with('-') ? bold(name) : italic(name));
  }
  const std::string value = !option.choices.empty()
                                ? roff(fmt::format("{}", fmt::join(option.choices, "|")))
                                : italic(option.type);
  const bool argument = !option.names.front().starts_with('-');
  out += fmt::format(
      ".TP\n{}{}\n", fmt::join(names, ", "), option.type.empty() || argument ? "" : " " + value);
  std::string help = option.help.empty() ? "" : option.help;
  if (!help.empty() && help.back() != '.') {
    help += ".";
  }
  if (argument && !option.choices.empty()) {
    help += fmt::format(" One of {}.", fmt::join(option.choices, ", "));
  }
  if (!option.bounds.empty()) {
    help += fmt::format(" From {}.", option.bounds);
  }
  if (!option.default_text.empty()) {
    help += fmt::format(" Default: {}.", option.default_text);
  }
  if (argument && !option.required) {
    help += " Optional.";
  }
  out += (help.empty() ? "\\&" : roff(help)) + "\n";
}

/// "Examples:\n  tutti run" and what stands around: indented lines as they are.
void add_footer(std::string& out, const std::string& footer) {
  add_section(out, "Examples and notes");
  bool literal = false;
  size_t begin = 0;
  while (begin < footer.size()) {
    const size_t end = std::min(footer.find('\n', begin), footer.size());
    const std::string line = footer.substr(begin, end - begin);
    const bool indented = line.starts_with("  ");
    if (indented != literal) {
      out += indented ? ".PP\n.nf\n.RS 4\n" : ".RE\n.fi\n.PP\n";
      literal = indented;
    }
    out += roff(indented ? line.substr(2) : line) + "\n";
    begin = end + 1;
  }
  out += literal ? ".RE\n.fi\n" : "";
}

}  // namespace

std::string page_name(const std::string& command) {
  std::string out = command;
  std::replace(out.begin(), out.end(), ' ', '-');
  return out;
}

std::string man_page(const CommandDoc& command) {
  const std::string name = page_name(command.name);
  std::string out = fmt::format(
      ".TH {} 1 \"\" \"tutti {}\" \"Tutti Manual\"\n", roff(upper(name)), roff(program_version()));
  std::string summary = command.help;
  if (!summary.empty() && summary.back() == '.') {
    summary.pop_back();
  }
  add_section(out, "Name");
  out += fmt::format("{} \\- {}\n", roff(name), roff(summary));

  add_section(out, "Synopsis");
  out += bold(command.name);
  out += command.options.empty() ? "" : " [" + italic("OPTIONS") + "]";
  for (const OptionDoc& argument : command.arguments) {
    out += argument.required ? " " + italic(argument.name()) : " [" + italic(argument.name()) + "]";
  }
  out += command.subcommands.empty() ? "\n" : " " + italic("COMMAND") + " ...\n";

  if (!command.subcommands.empty()) {
    add_section(out, "Commands");
    for (const CommandDoc& one : command.subcommands) {
      out += fmt::format(".TP\n{}\n{}.\n", bold(one.word()), roff(one.help));
    }
  }
  if (!command.arguments.empty()) {
    add_section(out, "Arguments");
    for (const OptionDoc& argument : command.arguments) {
      add_option(out, argument);
    }
  }
  std::vector<std::string> groups;
  for (const OptionDoc& option : command.options) {
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end()) {
      groups.push_back(option.group);
    }
  }
  for (const std::string& group : groups) {
    add_section(out, group);
    for (const OptionDoc& option : command.options) {
      if (option.group == group) {
        add_option(out, option);
      }
    }
  }
  if (!command.footer.empty()) {
    add_footer(out, command.footer);
  }
  std::vector<std::string> others;
  if (const size_t space = command.name.rfind(' '); space != std::string::npos) {
    others.push_back(page_name(command.name.substr(0, space)));
  }
  for (const CommandDoc& one : command.subcommands) {
    others.push_back(page_name(one.name));
  }
  if (!others.empty()) {
    add_section(out, "See also");
    for (size_t i = 0; i < others.size(); ++i) {
      out += fmt::format(".BR {} (1){}\n", roff(others[i]), i + 1 < others.size() ? "," : "");
    }
  }
  return out;
}

}  // namespace tutti
