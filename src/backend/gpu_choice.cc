#include "backend/gpu_choice.h"

#include <algorithm>

#include "base/ascii.h"

namespace tutti {

namespace {

constexpr int kMaxGpus = 64;

bool all_digits(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Held at kMaxGpus, which is refused later by what is there.
int capped_number(const std::string& digits) {
  int value = 0;
  for (const char c : digits) {
    value = std::min(value * 10 + (c - '0'), kMaxGpus);
  }
  return value;
}

// "GPU-" or "MIG-" and at least one character that a UUID, or MIG's older path, consists of.
bool looks_like_uuid(const std::string& text) {
  const std::string name = to_lower(text);
  return name.size() > 4 && (name.starts_with("gpu-") || name.starts_with("mig-")) &&
         name.find_first_not_of("0123456789abcdefgpumi-/") == std::string::npos;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::string describe_visible(const std::vector<VisibleGpu>& visible,
                             const std::optional<std::string>& mask) {
  std::vector<std::string> lines;
  lines.reserve(visible.size());
  for (const VisibleGpu& gpu : visible) {
    lines.push_back(fmt::format("{} {} ({})", gpu.index, gpu.name, gpu.uuid));
  }
  return fmt::format("visible {} {}{}",
                     visible.size() == 1 ? "is" : "are",
                     fmt::join(lines, ", "),
                     mask ? fmt::format("; CUDA_VISIBLE_DEVICES={} hides the others and numbers "
                                        "these anew",
                                        *mask)
                          : "");
}

bool is_named(const VisibleGpu& gpu, const std::string& name) {
  return all_digits(name) ? gpu.index == capped_number(name)
                          : to_lower(gpu.uuid).starts_with(to_lower(name));
}

}  // namespace

std::string GpuChoice::text() const {
  if (automatic()) {
    return "auto";
  }
  if (all) {
    return "all";
  }
  if (count > 0) {
    return std::to_string(count);
  }
  return fmt::format(
      "{}{}", fmt::join(names, ","), names.size() == 1 && all_digits(names.front()) ? "," : "");
}

Result<GpuChoice> parse_gpu_choice(const std::string& text) {
  GpuChoice choice;
  if (text == "auto" || text == "all") {
    choice.all = text == "all";
    return choice;
  }
  std::vector<std::string> parts = split(text);
  if (parts.size() == 1 && all_digits(text) && capped_number(text) > 0) {
    choice.count = capped_number(text);
    return choice;
  }
  const bool one_number = parts.size() == 1 && all_digits(text);
  if (parts.size() > 1 && parts.back().empty()) {
    parts.pop_back();
  }
  const bool good = std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
    return all_digits(part) || looks_like_uuid(part);
  });
  if (!good || one_number) {
    return invalid(
        "‹gpus› {}: wanted auto, all, a number of GPUs (2), or a list of indices and UUIDs (0,2,3 "
        "or GPU-8932f937,GPU-1a2b3c4d; one index: 2,)",
        text);
  }
  choice.names = std::move(parts);
  return choice;
}

Result<std::vector<size_t>> pick_gpus(const GpuChoice& choice,
                                      const std::vector<VisibleGpu>& visible,
                                      const std::optional<std::string>& mask) {
  std::vector<size_t> chosen;
  if (choice.names.empty()) {
    const size_t take = choice.count > 0 ? static_cast<size_t>(choice.count) : visible.size();
    if (take > visible.size()) {
      return error(StatusCode::kNotFound,
                   "‹gpus› {}: {}; type ‹gpus› {}",
                   choice.count,
                   describe_visible(visible, mask),
                   visible.size());
    }
    for (size_t i = 0; i < take; ++i) {
      chosen.push_back(i);
    }
    return chosen;
  }
  for (const std::string& name : choice.names) {
    std::vector<size_t> hits;
    for (size_t i = 0; i < visible.size(); ++i) {
      if (is_named(visible[i], name)) {
        hits.push_back(i);
      }
    }
    if (hits.empty()) {
      return error(StatusCode::kNotFound,
                   "‹gpus› {}: there is no GPU {}; {}",
                   choice.text(),
                   name,
                   describe_visible(visible, mask));
    }
    if (hits.size() > 1) {
      return invalid("‹gpus› {}: several GPUs begin with {}; {}",
                     choice.text(),
                     name,
                     describe_visible(visible, mask));
    }
    if (std::find(chosen.begin(), chosen.end(), hits.front()) != chosen.end()) {
      return invalid("‹gpus› {}: {} names cuda:{} a second time; name each GPU once",
                     choice.text(),
                     name,
                     visible[hits.front()].index);
    }
    chosen.push_back(hits.front());
  }
  return chosen;
}

std::string mask_names_none(const std::string& mask) {
  return fmt::format(
      "CUDA_VISIBLE_DEVICES=\"{}\" names no GPU of this machine; unset CUDA_VISIBLE_DEVICES, or "
      "set it to numbers or UUIDs that nvidia-smi -L shows",
      mask);
}

std::string gpu_list(const std::vector<int>& indices) {
  std::string out = "cuda:";
  for (size_t begin = 0; begin < indices.size();) {
    size_t end = begin + 1;
    while (end < indices.size() && indices[end] == indices[end - 1] + 1) {
      ++end;
    }
    out += begin > 0 ? "," : "";
    out += end - begin > 1 ? fmt::format("{}-{}", indices[begin], indices[end - 1])
                           : fmt::format("{}", indices[begin]);
    begin = end;
  }
  return out;
}

std::string describe_gpus(const std::vector<VisibleGpu>& gpus) {
  std::vector<std::string> names;
  for (const VisibleGpu& gpu : gpus) {
    if (std::find(names.begin(), names.end(), gpu.name) == names.end()) {
      names.push_back(gpu.name);
    }
  }
  std::string out;
  for (const std::string& name : names) {
    std::vector<int> indices;
    for (const VisibleGpu& gpu : gpus) {
      if (gpu.name == name) {
        indices.push_back(gpu.index);
      }
    }
    out += out.empty() ? "" : " + ";
    out += indices.size() > 1 ? fmt::format("{} x ", indices.size()) : "";
    out += fmt::format("{} ({})", name, gpu_list(indices));
  }
  return out;
}

}  // namespace tutti
