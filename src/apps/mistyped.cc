#include "apps/mistyped.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/nearest_word.h"

namespace tutti {

namespace {

struct ForeignCommand {
  const char* name;
  const char* advice;  // the rest of "no command "pull": …"
};

constexpr const char* kDownload =
    "hf download ORGANISATION/NAME gets a model, then tutti serve ORGANISATION/NAME; tutti models "
    "lists names and what fits here";
constexpr const char* kServe = "tutti serve MODEL serves a model until Ctrl-C";
constexpr const char* kModels =
    "tutti models lists names and what fits here; a server that runs tells its own at /v1/models";
constexpr const char* kStop =
    "Ctrl-C in its terminal, or kill PID, ends a server; it finishes replies";

constexpr const char* kRemove =
    "a model is a directory, and rm -r DIRECTORY removes it; hf cache has those of its cache";

constexpr auto kForeignCommands = std::to_array<ForeignCommand>({
    {"pull", kDownload},
    {"download", kDownload},
    {"get", kDownload},
    {"install", kDownload},
    {"create", kDownload},
    {"register", kDownload},
    {"ls", "tutti list asks a running server for its models; tutti models lists what fits here"},
    {"registrations", kModels},
    {"status", kModels},
    {"search", kModels},
    {"cached", kModels},
    {"start", kServe},
    {"server", kServe},
    {"api_server", kServe},
    {"stop", kStop},
    {"stop-cluster", kStop},
    {"rm", kRemove},
    {"remove-cache", kRemove},
    {"unregister", kRemove},
    {"chat", "tutti run MODEL chats in the terminal"},
    {"cli", "tutti run MODEL chats in the terminal"},
    {"complete", "tutti run MODEL \"PROMPT\" answers once"},
    {"show", "tutti plan MODEL says what a model takes"},
    {"engine", "tutti plan MODEL says what a model takes"},
    {"cal-model-mem", "tutti plan MODEL says what a model takes"},
    {"collect-env", "tutti doctor --dump FILE writes down what this machine has"},
    {"info", "tutti doctor says what this machine has"},
    {"devices", "tutti doctor says what this machine has"},
    {"benchmark", "tutti bench serve loads a server, tutti bench latency MODEL measures a model"},
});

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

}  // namespace

std::string unknown_command(std::string_view typed,
                            std::string_view of,
                            std::span<const std::string> commands) {
  const std::string name = of.empty() ? "tutti" : fmt::format("tutti {}", of);
  std::string next;
  const auto* foreign = std::find_if(kForeignCommands.begin(),
                                     kForeignCommands.end(),
                                     [&](const auto& f) { return f.name == typed; });
  if (of.empty() && foreign != kForeignCommands.end()) {
    next = foreign->advice;
  } else if (const auto close = nearest_words(lower(typed), commands); !close.empty()) {
    next = fmt::format("did you mean {} {}?", name, close.front());
  } else {
    next = fmt::format("{} --help says what they do", name);
  }
  return fmt::format(
      "{}: no command \"{}\"; {} (there are {})", name, typed, next, fmt::join(commands, ", "));
}

std::string unknown_flag(std::string_view typed,
                         std::string_view command,
                         std::span<const std::string> flags) {
  std::string word(typed.substr(0, typed.find('=')));
  if (word.starts_with("--")) {
    std::replace(word.begin(), word.end(), '_', '-');
  }
  // One letter is near every other.
  const bool letter = word.size() < 3;
  std::vector<std::string> close = letter ? std::vector<std::string>() : nearest_words(word, flags);
  if (close.empty() && word.size() > 4) {  // "--concurren", or "-port" with a hyphen too few
    for (const std::string& flag : flags) {
      if (flag.starts_with(word) || flag == "-" + word) {
        close.push_back(flag);
      }
    }
  }
  return fmt::format(
      "tutti {}: no flag {}; {}tutti {} --help lists them",
      command,
      typed,
      close.empty() ? "" : fmt::format("did you mean {}? ", fmt::join(close, " or ")),
      command);
}

}  // namespace tutti
