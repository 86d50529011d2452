#include "serve/engine_gpus.h"

#include <boost/asio/local/stream_protocol.hpp>

#include "http/client.h"

namespace tutti {

GpuStatus ask_engines_gpus(const std::vector<EngineAddress>& engines) {
  constexpr std::chrono::seconds kPatience{1};
  std::vector<GpuStatus> told;
  for (const EngineAddress& engine : engines) {
    const http::Endpoint endpoint{boost::asio::local::stream_protocol::endpoint(engine.socket)};
    const auto answer = http::fetch(endpoint,
                                    "GET /v1/cluster/gpus HTTP/1.1\r\nHost: localhost\r\n"
                                    "Connection: close\r\n\r\n",
                                    {.timeout = kPatience});
    const auto* page = std::get_if<http::Fetched>(&answer);
    if (page == nullptr || page->status != 200) {
      continue;
    }
    const Result<Json> json = parse_json(page->body);
    Result<GpuStatus> status = json.ok() ? parse_status(*json) : json.status();
    if (status.ok()) {
      told.push_back(std::move(status).value());
    }
  }
  return merge_statuses(told);
}

}  // namespace tutti
