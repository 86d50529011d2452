#include "base/option_names.h"

#include <algorithm>

namespace tutti {

namespace {

constexpr std::string_view kOpen = "‹";
constexpr std::string_view kClose = "›";

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace

std::string as_flag(std::string_view name) {
  std::string flag = "--" + std::string(name);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string spell_options(std::string_view text, SpellOption spell) {
  std::string out;
  while (!text.empty()) {
    const size_t open = text.find(kOpen);
    out += text.substr(0, open);
    if (open == std::string_view::npos) {
      break;
    }
    text.remove_prefix(open + kOpen.size());
    const size_t close = text.find(kClose);
    if (close != std::string_view::npos && is_name(text.substr(0, close))) {
      out += spell(text.substr(0, close));
      text.remove_prefix(close + kClose.size());
    } else {
      out += kOpen;
    }
  }
  return out;
}

}  // namespace tutti
