#include "inventory/privacy.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace tutti {

namespace {

constexpr std::array<std::string_view, 4> kPrefixes{"CUDA_", "NVIDIA_", "NCCL_", "TUTTI_"};
constexpr size_t kLongToken = 24;  // characters; keys of services have at least as many

bool letter_or_digit(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

template <size_t n>
bool any_in(std::string_view text, const std::array<std::string_view, n>& parts) {
  return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) {
    return text.find(part) != std::string_view::npos;
  });
}

bool name_looks_secret(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return static_cast<char>(std::toupper(c));
  });
  constexpr std::array<std::string_view, 8> kWords{
      "KEY", "TOKEN", "SECRET", "PASSW", "CREDENTIAL", "AUTH", "COOKIE", "PRIVATE"};
  return any_in(name, kWords);
}

// Letters and digits without a break, both in it: "hf_xYz1...". Parts of UUIDs are shorter, words
// have no digits. A list, a path or a condition breaks at its signs.
bool has_long_token(std::string_view text) {
  size_t length = 0;
  bool digit = false;
  bool letter = false;
  for (const char c : text) {
    if (!letter_or_digit(c)) {
      length = 0;
      digit = letter = false;
      continue;
    }
    ++length;
    digit = digit || std::isdigit(static_cast<unsigned char>(c)) != 0;
    letter = letter || std::isalpha(static_cast<unsigned char>(c)) != 0;
    if (length >= kLongToken && digit && letter) {
      return true;
    }
  }
  return false;
}

bool value_looks_secret(const std::string& value) {
  constexpr std::array<std::string_view, 6> kMarks{
      "-----BEGIN", "sk-", "hf_", "ghp_", "nvapi-", "Bearer "};
  // "https://user:password@host"
  const size_t scheme = value.find("://");
  const bool user_in_url =
      scheme != std::string::npos && value.find('@', scheme) != std::string::npos;
  return any_in(value, kMarks) || user_in_url || has_long_token(value);
}

// Every occurrence of `word` that is not part of a longer word.
std::string replace_word(const std::string& text, const std::string& word, const char* instead) {
  std::string out;
  size_t from = 0;
  for (;;) {
    const size_t at = text.find(word, from);
    if (at == std::string::npos) {
      return out + text.substr(from);
    }
    const size_t end = at + word.size();
    const bool whole = (at == 0 || !letter_or_digit(text[at - 1])) &&
                       (end == text.size() || !letter_or_digit(text[end]));
    out += text.substr(from, at - from) + (whole ? instead : word);
    from = end;
  }
}

// "/home/NAME" and "/Users/NAME", anybody's, become "~".
std::string replace_homes(std::string text) {
  for (const std::string_view base : {"/home/", "/Users/"}) {
    for (size_t at = text.find(base); at != std::string::npos; at = text.find(base, at + 1)) {
      const size_t end = text.find_first_of("/:;, \"'", at + base.size());
      text.replace(at, (end == std::string::npos ? text.size() : end) - at, "~");
    }
  }
  return text;
}

}  // namespace

std::map<std::string, std::string> public_environment(const System& system) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : system.environment) {
    const bool ours =
        std::any_of(kPrefixes.begin(), kPrefixes.end(), [&, &n = name](std::string_view prefix) {
          return std::string_view{n}.starts_with(prefix);
        });
    // NCCL_HOSTID stands for the host's name.
    if (ours && name != "NCCL_HOSTID" && !name_looks_secret(name) && !value_looks_secret(value)) {
      out[name] = value;
    }
  }
  return out;
}

Scrubber::Scrubber(const System& system) {
  const auto add = [&](const std::string& name, const char* instead) {
    // "root" and "localhost" name nobody; a single letter occurs everywhere.
    if (name.size() > 1 && name != "root" && name != "localhost") {
      words_.push_back({.name = name, .instead = instead});
    }
  };
  const std::string host = system.read("/proc/sys/kernel/hostname").value_or("");
  add(host, "<host>");
  add(host.substr(0, host.find('.')), "<host>");
  for (const char* variable : {"USER", "LOGNAME", "SUDO_USER"}) {
    if (const auto found = system.environment.find(variable); found != system.environment.end()) {
      add(found->second, "<user>");
    }
  }
}

std::string Scrubber::scrub(const std::string& text) const {
  std::string out = replace_homes(text);
  for (const Word& word : words_) {
    out = replace_word(out, word.name, word.instead);
  }
  return out;
}

void Scrubber::scrub(Inventory& inventory) const {
  const auto optional = [this](std::optional<std::string>& text) {
    if (text) {
      text = scrub(*text);
    }
  };
  for (auto& [name, value] : inventory.env) {
    value = scrub(value);
  }
  for (InventoryError& error : inventory.errors) {
    error.text = scrub(error.text);
  }
  optional(inventory.host.kernel);
  optional(inventory.driver.nvml_error);
  optional(inventory.driver.compat);
  for (NetworkInterface& interface : inventory.host.interfaces) {
    interface.name = scrub(interface.name);
  }
  for (StaleFile& file : inventory.shm.stale) {
    file.name = scrub(file.name);
  }
  for (Gpu& gpu : inventory.gpus) {
    if (gpu.processes) {
      for (GpuProcess& process : *gpu.processes) {
        optional(process.name);
      }
    }
  }
}

}  // namespace tutti
