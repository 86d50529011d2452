#include "apps/op_table.h"

#include <algorithm>

#include <fmt/format.h>

namespace tutti {

double roofline_seconds(int64_t bytes, int64_t flops, const Ceilings& ceilings) {
  const double moving = ceilings.read > 0 ? static_cast<double>(bytes) / ceilings.read : 0;
  const double computing = ceilings.flops > 0 ? static_cast<double>(flops) / ceilings.flops : 0;
  return std::max(moving, computing);
}

Json ops_json(const std::vector<OpTiming>& ops, const Ceilings& ceilings) {
  Json out = Json::array({});
  for (const OpTiming& t : ops) {
    Json row = Json::object({{"op", t.op},
                             {"calls", t.calls},
                             {"seconds", t.seconds},
                             {"bytes", t.bytes},
                             {"flops", t.flops}});
    if (t.seconds > 0) {
      row.as_object().set("bytes_per_second", static_cast<double>(t.bytes) / t.seconds);
      row.as_object().set("flops_per_second", static_cast<double>(t.flops) / t.seconds);
      if (const double floor = roofline_seconds(t.bytes, t.flops, ceilings); floor > 0) {
        row.as_object().set("fraction_of_roofline", floor / t.seconds);
      }
    }
    out.as_array().push_back(std::move(row));
  }
  return out;
}

Json ceilings_json(const Ceilings& ceilings) {
  Json out = Json::object({});
  const auto add = [&](const char* name, double value) {
    if (value > 0) {
      out.as_object().set(name, value);
    }
  };
  add("read_bytes_per_second", ceilings.read);
  add("copy_bytes_per_second", ceilings.copy);
  add("matmul_flops_per_second", ceilings.flops);
  return out;
}

std::string ops_table(const std::string& title,
                      const std::vector<OpTiming>& ops,
                      const Ceilings& ceilings) {
  std::string out = fmt::format("{:<34} {:>5} {:>10} {:>8} {:>9} {:>8} {:>8} {:>9}\n",
                                title,
                                "calls",
                                "us each",
                                "of step",
                                "MB each",
                                "GB/s",
                                "TFLOP/s",
                                "roofline");
  bool cached = false;
  double all = 0;
  for (const OpTiming& t : ops) {
    all += t.seconds;
  }
  for (const OpTiming& t : ops) {
    const auto calls = static_cast<double>(t.calls);
    const double seconds = std::max(t.seconds, 1e-12);
    const double floor = roofline_seconds(t.bytes, t.flops, ceilings);
    cached = cached || floor > 1.02 * seconds;
    out +=
        fmt::format("  {:<32} {:>5} {:>10.2f} {:>6.1f} % {:>9.3f} {:>8.0f} {:>8.2f} {:>7.1f} %\n",
                    t.op,
                    t.calls,
                    t.seconds / calls * 1e6,
                    100.0 * t.seconds / std::max(all, 1e-12),
                    static_cast<double>(t.bytes) / calls * 1e-6,
                    static_cast<double>(t.bytes) / seconds * 1e-9,
                    static_cast<double>(t.flops) / seconds * 1e-12,
                    100.0 * floor / seconds);
  }
  if (cached) {
    out += "  roofline above 100 %: what is repeated alone finds its data in a cache\n";
  }
  return out;
}

}  // namespace tutti
