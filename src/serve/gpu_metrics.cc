#include "serve/gpu_metrics.h"

#include <fmt/format.h>

#include "serve/histogram.h"

namespace tutti {

namespace {

using Value = std::optional<double>;

Value of(const Bytes& value) {
  return value ? Value(static_cast<double>(*value)) : std::nullopt;
}

Value megahertz(const std::optional<int64_t>& value) {
  return value ? Value(static_cast<double>(*value) * 1e6) : std::nullopt;
}

struct GpuMetric {
  MetricInfo info;
  Value (*value)(const GpuReading& gpu);
};

constexpr const char* kLabels = "gpu (NVML's number), uuid, name";

constexpr GpuMetric kMetrics[] = {
    // clang-format off
    {{"gpu_busy_ratio", "gauge", kLabels, "Share of the last moments in which a kernel ran, 0 to 1."}, [](const GpuReading& g) { return g.busy; }},
    {{"gpu_memory_used_bytes", "gauge", kLabels, "Memory of the GPU in use, the driver's own included."}, [](const GpuReading& g) { return of(g.memory_used_bytes); }},
    {{"gpu_memory_total_bytes", "gauge", kLabels, "Memory of the GPU."}, [](const GpuReading& g) { return of(g.memory_total_bytes); }},
    {{"gpu_temperature_celsius", "gauge", kLabels, "Its temperature."}, [](const GpuReading& g) { return of(g.temperature_celsius); }},
    {{"gpu_clock_hertz", "gauge", kLabels, "Clock of its multiprocessors."}, [](const GpuReading& g) { return megahertz(g.clock_mhz); }},
    {{"gpu_power_watts", "gauge", kLabels, "Power it draws."}, [](const GpuReading& g) { return g.power_watts; }},
    {{"gpu_power_limit_watts", "gauge", kLabels, "The limit in force."}, [](const GpuReading& g) { return g.power_limit_watts; }},
    {{"gpu_pcie_received_bytes_per_second", "gauge", kLabels, "From the host."}, [](const GpuReading& g) { return g.pcie_received_bytes_per_second; }},
    {{"gpu_pcie_sent_bytes_per_second", "gauge", kLabels, "To the host."}, [](const GpuReading& g) { return g.pcie_sent_bytes_per_second; }},
    {{"gpu_ecc_uncorrected_total", "counter", kLabels, "Uncorrectable memory errors since the driver was loaded."}, [](const GpuReading& g) { return of(g.ecc_uncorrected); }},
    {{"gpu_lost", "gauge", kLabels, "1: it does not answer its driver."}, [](const GpuReading& g) { return Value(g.lost ? 1 : 0); }},
    {{"gpu_used", "gauge", kLabels, "1: a rank of this server runs on it."}, [](const GpuReading& g) { return Value(g.used ? 1 : 0); }},
    {{"gpu_idle_seconds_total", "counter", kLabels, "Seconds in which it stood idle while others of this server worked."}, [](const GpuReading& g) { return Value(g.idle_seconds); }},
    // clang-format on
};

constexpr MetricInfo kXids = {"gpu_xid_errors_total",
                              "counter",
                              "gpu, uuid, name, xid",
                              "Errors that the driver reported since the server started."};
constexpr MetricInfo kSlowed = {
    "gpu_slowed_seconds_total",
    "counter",
    "gpu, uuid, name, reason (hw_slowdown, sw_thermal, hw_thermal, hw_power_brake)",
    "Seconds in which it was slowed down since the server started."};

std::string labels_of(const GpuReading& gpu) {
  return fmt::format("gpu=\"{}\",uuid=\"{}\",name=\"{}\"",
                     gpu.index,
                     escape_label(gpu.uuid.value_or("")),
                     escape_label(gpu.name.value_or("")));
}

void append_head(std::string& out, const MetricInfo& info) {
  out += fmt::format(
      "# HELP tutti:{} {}\n# TYPE tutti:{} {}\n", info.name, info.help, info.name, info.type);
}

}  // namespace

std::vector<MetricInfo> gpu_metric_rows() {
  std::vector<MetricInfo> rows;
  for (const GpuMetric& metric : kMetrics) {
    rows.push_back(metric.info);
  }
  rows.push_back(kXids);
  rows.push_back(kSlowed);
  return rows;
}

void append_gpu_metrics(std::string& out, const GpuStatus& status) {
  for (const GpuMetric& metric : kMetrics) {
    append_head(out, metric.info);
    for (const GpuReading& gpu : status.gpus) {
      if (const Value value = metric.value(gpu)) {
        out += fmt::format("tutti:{}{{{}}} {}\n", metric.info.name, labels_of(gpu), *value);
      }
    }
  }
  append_head(out, kXids);
  for (const GpuReading& gpu : status.gpus) {
    for (const auto& [code, count] : gpu.xids) {
      out += fmt::format("tutti:{}{{{},xid=\"{}\"}} {}\n", kXids.name, labels_of(gpu), code, count);
    }
  }
  append_head(out, kSlowed);
  for (const GpuReading& gpu : status.gpus) {
    for (const auto& [reason, seconds] : gpu.slowed_seconds) {
      out += fmt::format("tutti:{}{{{},reason=\"{}\"}} {}\n",
                         kSlowed.name,
                         labels_of(gpu),
                         escape_label(reason),
                         seconds);
    }
  }
}

}  // namespace tutti
