#include "watch/top_table.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "base/log_event.h"

namespace tutti {

namespace {

constexpr int kWide = 120;  // from here on names, PCIe and programs are shown beside
constexpr double kGb = 1e9;

enum class Paint { kNone, kBold, kGreen, kYellow, kRed };

// A line that is cut at the width, whatever escapes it has, and has no blanks at its end.
class Line {
 public:
  explicit Line(const TopStyle& style) : style_(style) {}

  Line& add(const std::string& text, Paint paint = Paint::kNone) {
    const auto room = static_cast<size_t>(std::max(0, style_.columns - used_));
    // Bytes of characters of several bytes are cut at their beginning only.
    std::string shown;
    size_t width = 0;
    for (const char c : text) {
      const bool begins = (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
      if (begins && width == room) {
        break;
      }
      width += begins ? 1 : 0;
      shown += c;
    }
    used_ += static_cast<int>(width);
    parts_.push_back({.text = std::move(shown), .paint = paint});
    return *this;
  }

  std::string take() {
    while (!parts_.empty()) {
      std::string& last = parts_.back().text;
      last.erase(last.find_last_not_of(' ') + 1);
      if (!last.empty()) {
        break;
      }
      parts_.pop_back();
    }
    std::string out;
    for (const Part& part : parts_) {
      const bool painted = style_.colour && part.paint != Paint::kNone;
      out += painted ? code_of(part.paint) + part.text + "\x1b[0m" : part.text;
    }
    return out + "\n";
  }

 private:
  static std::string code_of(Paint paint) {
    switch (paint) {
      case Paint::kBold:
        return "\x1b[1m";
      case Paint::kGreen:
        return "\x1b[32m";
      case Paint::kYellow:
        return "\x1b[33m";
      case Paint::kRed:
        return "\x1b[31m";
      case Paint::kNone:
        break;
    }
    return "";
  }

  struct Part {
    std::string text;
    Paint paint = Paint::kNone;
  };

  const TopStyle& style_;
  std::vector<Part> parts_;
  int used_ = 0;
};

// "[|||||     ]" of `share`, 0 to 1.
std::string bar(std::optional<double> share, int cells) {
  const double filled = std::clamp(share.value_or(0), 0.0, 1.0) * cells;
  const auto full = static_cast<size_t>(std::lround(filled));
  return "[" + std::string(full, '|') + std::string(static_cast<size_t>(cells) - full, ' ') + "]";
}

std::string percent(std::optional<double> share) {
  return share ? fmt::format("{:.0f}%", 100 * *share) : "-";
}

std::optional<double> share_of(std::optional<double> part, std::optional<double> all) {
  return part && all && *all > 0 ? std::optional(*part / *all) : std::nullopt;
}

std::optional<double> as_double(const Bytes& bytes) {
  return bytes ? std::optional(static_cast<double>(*bytes)) : std::nullopt;
}

std::string gigabytes_of(const Bytes& used, const Bytes& total) {
  return used && total ? fmt::format("{:.1f}/{:.0f}G",
                                     static_cast<double>(*used) / kGb,
                                     static_cast<double>(*total) / kGb)
                       : "-";
}

std::string watts_of(const GpuReading& gpu) {
  return gpu.power_watts
             ? fmt::format("{:.0f}{}W",
                           *gpu.power_watts,
                           gpu.power_limit_watts ? fmt::format("/{:.0f}", *gpu.power_limit_watts)
                                                 : std::string())
             : "-";
}

std::string rate_of(std::optional<double> bytes_per_second) {
  return bytes_per_second ? fmt::format("{:.1f}", *bytes_per_second / kGb) : "-";
}

// What is out of order, shortest first.
std::string flags_of(const GpuReading& gpu) {
  std::string out = gpu.lost ? "LOST" : "";
  const auto add = [&out](const std::string& word) { out += (out.empty() ? "" : " ") + word; };
  if (!gpu.xids.empty()) {
    add(fmt::format("xid{}", gpu.xids.rbegin()->first));
  }
  if (gpu.ecc_uncorrected.value_or(0) > 0) {
    add("ecc");
  }
  for (const std::string& reason : gpu.slowed_by) {
    add(reason.find("thermal") != std::string::npos ? "hot"
        : reason == "hw_power_brake"                ? "brake"
                                                    : "slow");
  }
  if (gpu.idle_seconds > 0 && gpu.busy.value_or(1) < 0.05) {
    add("idle");
  }
  return out;
}

Paint paint_of_heat(std::optional<int64_t> celsius) {
  const int64_t heat = celsius.value_or(0);
  return heat >= 85 ? Paint::kRed : heat >= 75 ? Paint::kYellow : Paint::kNone;
}

std::string gpu_line(const GpuReading& gpu, const TopStyle& style) {
  const bool wide = style.columns >= kWide;
  const int cells = wide ? 20 : 10;
  Line line(style);
  line.add(fmt::format("{}{:>2} ", gpu.used ? '*' : ' ', gpu.index));
  if (wide) {
    line.add(fmt::format("{:<20.20} ", printable(gpu.name.value_or("-"))));
  }
  line.add(bar(gpu.busy, cells), Paint::kGreen).add(fmt::format("{:>5} ", percent(gpu.busy)));
  line.add(bar(share_of(as_double(gpu.memory_used_bytes), as_double(gpu.memory_total_bytes)),
               wide ? 12 : 8),
           Paint::kYellow);
  line.add(fmt::format("{:>11} ", gigabytes_of(gpu.memory_used_bytes, gpu.memory_total_bytes)));
  line.add(
      fmt::format("{:>4} ",
                  gpu.temperature_celsius ? fmt::format("{}C", *gpu.temperature_celsius) : "-"),
      paint_of_heat(gpu.temperature_celsius));
  line.add(fmt::format("{:>5} ", gpu.clock_mhz ? std::to_string(*gpu.clock_mhz) : "-"));
  line.add(fmt::format("{:>9} ", watts_of(gpu)));
  if (wide) {
    line.add(fmt::format("{:>5} {:>5}  ",
                         rate_of(gpu.pcie_received_bytes_per_second),
                         rate_of(gpu.pcie_sent_bytes_per_second)));
  }
  line.add(fmt::format("{:<{}} ", flags_of(gpu), wide ? 12 : 1), Paint::kRed);
  if (wide) {
    for (const GpuProcess& process : gpu.processes) {
      line.add(fmt::format("{} {}  ",
                           printable(process.name.value_or("another container")),
                           process.bytes
                               ? fmt::format("{:.1f}G", static_cast<double>(*process.bytes) / kGb)
                               : std::string()));
    }
  }
  return line.take();
}

std::string head_line(const TopStyle& style) {
  const bool wide = style.columns >= kWide;
  std::string text = "GPU ";
  text += wide ? fmt::format("{:<21}", "name") : "";
  text += fmt::format("{:<{}}", "busy", wide ? 28 : 18);
  text += fmt::format("{:<{}}", "memory", wide ? 26 : 22);
  text += "temp   MHz     power ";
  text += wide ? "PCIe in out  " : "";
  text += wide ? "             programs" : "";
  return Line(style).add(text, Paint::kBold).take();
}

std::string sum_line(const GpuStatus& status, const TopStyle& style) {
  double busy = 0;
  double used = 0;
  double total = 0;
  double watts = 0;
  int counted = 0;
  for (const GpuReading& gpu : status.gpus) {
    busy += gpu.busy.value_or(0);
    counted += gpu.busy ? 1 : 0;
    used += as_double(gpu.memory_used_bytes).value_or(0);
    total += as_double(gpu.memory_total_bytes).value_or(0);
    watts += gpu.power_watts.value_or(0);
  }
  return Line(style)
      .add(fmt::format("{} GPU{}: {} busy, {:.0f} of {:.0f} GB, {:.0f} W",
                       status.gpus.size(),
                       status.gpus.size() == 1 ? "" : "s",
                       counted > 0 ? percent(busy / counted) : "-",
                       used / kGb,
                       total / kGb,
                       watts))
      .take();
}

}  // namespace

std::string top_table(const GpuStatus& status, const TopStyle& style) {
  std::string out = Line(style)
                        .add("tutti top", Paint::kBold)
                        .add(status.time.empty() ? "" : "  " + printable(status.time))
                        .take();
  if (!status.error.empty()) {
    out += Line(style).add(printable(status.error), Paint::kRed).take();
  }
  if (status.gpus.empty()) {
    return out + Line(style).add("no GPU is shown").take();
  }
  out += sum_line(status, style) + head_line(style);
  for (const GpuReading& gpu : status.gpus) {
    out += gpu_line(gpu, style);
  }
  // The latest that fit below.
  const int taken = static_cast<int>(std::count(out.begin(), out.end(), '\n'));
  const size_t room = style.rows > 0 ? static_cast<size_t>(std::max(0, style.rows - taken - 1)) : 8;
  const size_t first = status.notices.size() - std::min(room, status.notices.size());
  for (size_t i = first; i < status.notices.size(); ++i) {
    const GpuNotice& notice = status.notices[i];
    out += Line(style)
               .add(printable(style.columns >= kWide || notice.time.size() < 20
                                  ? notice.time
                                  : notice.time.substr(11, 8)) +
                    " ")
               .add(printable(notice.text), Paint::kYellow)
               .take();
  }
  return out;
}

}  // namespace tutti
