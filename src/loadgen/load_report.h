// A run's figures as a table and as JSON, under the names of vLLM's `vllm bench serve`, so that
// they can be put side by side.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"
#include "loadgen/load_run.h"

namespace tutti::loadgen {

struct ServerUse {
  double cpu_seconds = 0;
  int64_t resident_before = 0;  ///< bytes
  int64_t resident_after = 0;
};

struct ReportInput {
  const LoadResult& result;
  const LoadOptions& options;
  const RequestOptions& requests;
  const Slo& slo;
  std::string url;
  std::optional<ServerUse> server;  ///< known if the server runs on this machine
};

std::string report_table(const ReportInput& input);

Json report_json(const ReportInput& input);

}  // namespace tutti::loadgen
