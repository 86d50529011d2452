// /metrics of a gateway: its own page, with what its engines say of their models.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "serve/remote_models.h"

namespace tutti {

struct EngineMetricsPage {
  std::string replica;  ///< becomes a label of every sample; "": none
  std::string text;     ///< Prometheus text format
};

/// Asks each engine in turn; one that does not answer within a second is left out.
std::vector<EngineMetricsPage> ask_engines_metrics(const std::vector<EngineAddress>& engines);

/// `own` with those samples of the pages that are about a model (the label model_name) put to their
/// metrics. What engines say of their HTTP connections is left out: those are the gateway's.
std::string merge_metrics(std::string_view own, const std::vector<EngineMetricsPage>& pages);

}  // namespace tutti
