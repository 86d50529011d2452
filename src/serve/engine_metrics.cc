#include "serve/engine_metrics.h"

#include <map>

#include <boost/asio/local/stream_protocol.hpp>
#include <fmt/format.h>

#include "http/client.h"

namespace tutti {

namespace {

constexpr std::chrono::seconds kPatience{1};
constexpr std::string_view kOfModel = "{model_name=";

// Calls `take` with each line, without its end.
template <class Take>
void for_each_line(std::string_view text, Take take) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    take(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// "tutti:x_bucket{…} 1" belongs to the histogram "tutti:x".
std::string_view family_of(std::string_view sample) {
  std::string_view name = sample.substr(0, sample.find_first_of("{ "));
  for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
    if (name.ends_with(suffix)) {
      return name.substr(0, name.size() - suffix.size());
    }
  }
  return name;
}

// The name in "# TYPE tutti:x histogram"; "" if the line says no type.
std::string_view typed_family(std::string_view line) {
  constexpr std::string_view kType = "# TYPE ";
  if (!line.starts_with(kType)) {
    return {};
  }
  line.remove_prefix(kType.size());
  return line.substr(0, line.find(' '));
}

std::string labelled(std::string_view sample, const std::string& replica) {
  const size_t labels = sample.find('{');
  return replica.empty() ? std::string(sample)
                         : fmt::format("{}replica=\"{}\",{}",
                                       sample.substr(0, labels + 1),
                                       replica,
                                       sample.substr(labels + 1));
}

}  // namespace

std::vector<EngineMetricsPage> ask_engines_metrics(const std::vector<EngineAddress>& engines) {
  std::vector<EngineMetricsPage> pages;
  for (const EngineAddress& engine : engines) {
    const http::Endpoint endpoint{boost::asio::local::stream_protocol::endpoint(engine.socket)};
    auto answer = http::fetch(endpoint,
                              "GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
                              "Connection: close\r\n\r\n",
                              {.timeout = kPatience});
    if (auto* page = std::get_if<http::Fetched>(&answer); page != nullptr && page->status == 200) {
      pages.push_back({.replica = engine.replica, .text = std::move(page->body)});
    }
  }
  return pages;
}

std::string merge_metrics(std::string_view own, const std::vector<EngineMetricsPage>& pages) {
  std::map<std::string, std::string, std::less<>> samples;  // of each metric, lines
  for (const EngineMetricsPage& page : pages) {
    for_each_line(page.text, [&](std::string_view line) {
      if (!line.starts_with('#') && line.find(kOfModel) != std::string_view::npos) {
        samples[std::string(family_of(line))] += labelled(line, page.replica) + '\n';
      }
    });
  }
  std::string out;
  for_each_line(own, [&](std::string_view line) {
    out += line;
    out += '\n';
    const auto found = samples.find(typed_family(line));
    if (found != samples.end()) {
      out += found->second;
    }
  });
  return out;
}

}  // namespace tutti
