#include "inventory/nvml_query.h"

#include <array>

namespace tutti {

void NvmlErrors::note(const char* function, unsigned code, int64_t gpu) {
  gpus_[fmt::format("{}: {}", function, nvml_text(code))].insert(gpu);
}

void NvmlErrors::note_pair(const char* function, unsigned code, int64_t a, int64_t b) {
  note(function, code, a);
  note(function, code, b);
}

void NvmlErrors::move_to(Inventory& inventory) {
  for (const auto& [text, gpus] : gpus_) {
    inventory.add_error(
        "nvml", fmt::format("{} (GPU{} {})", text, gpus.size() == 1 ? "" : "s", ranges(gpus)));
  }
  gpus_.clear();
}

std::string ranges(const std::set<int64_t>& numbers) {
  std::string out;
  for (auto first = numbers.begin(); first != numbers.end();) {
    auto last = first;
    auto next = std::next(first);
    while (next != numbers.end() && *next == *last + 1) {
      last = next++;
    }
    out += fmt::format("{}{}", out.empty() ? "" : ",", *first);
    out += last == first ? "" : fmt::format("-{}", *last);
    first = next;
  }
  return out;
}

std::optional<std::string> NvmlQuery::text(const nvml::Text& function) {
  std::array<char, nvml::kNameBytes + 1> buffer{};
  return ok(function, buffer.data(), nvml::kNameBytes) ? std::optional(std::string(buffer.data()))
                                                       : std::nullopt;
}

}  // namespace tutti
