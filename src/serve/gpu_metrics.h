// Metrics of each GPU, for /metrics.
#pragma once
#include <string>
#include <vector>

#include "serve/http_metrics.h"
#include "watch/gpu_status.h"

namespace tutti {

std::vector<MetricInfo> gpu_metric_rows();

/// Prometheus text of them; heads alone where no GPU is known.
void append_gpu_metrics(std::string& out, const GpuStatus& status);

}  // namespace tutti
