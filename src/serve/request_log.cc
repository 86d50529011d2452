#include "serve/request_log.h"

#include <vector>

#include "base/log_event.h"
#include "base/units.h"

namespace tutti {

namespace {

constexpr size_t kShownPath = 200;

// Tokens after the first per second; the first belongs to the prompt.
double tokens_per_second(const GenerationWatch::Facts& facts) {
  return facts.generated_tokens > 1 && facts.decode_seconds > 0.0
             ? static_cast<double>(facts.generated_tokens - 1) / facts.decode_seconds
             : 0.0;
}

std::vector<LogField> fields_of(const RequestLine& line) {
  std::vector<LogField> fields{{"request_id", line.request_id},
                               {"method", line.method},
                               {"path", line.path.substr(0, kShownPath)},
                               {"peer", line.peer},
                               {"status", static_cast<int64_t>(line.status)},
                               {"seconds", line.seconds}};
  if (!line.error.empty()) {
    fields.push_back({"error", line.error});
  }
  if (!line.model.empty()) {
    fields.push_back({"model", line.model});
  }
  if (line.facts) {
    fields.push_back({"prompt_tokens", line.facts->prompt_tokens});
    fields.push_back({"cached_tokens", line.facts->cached_tokens});
    fields.push_back({"generated_tokens", line.facts->generated_tokens});
    fields.push_back({"finish_reason", std::string_view(line.facts->finish)});
    fields.push_back({"tokens_per_second", tokens_per_second(*line.facts)});
    if (line.facts->first_token_seconds) {
      fields.push_back({"first_token_seconds", *line.facts->first_token_seconds});
    }
  }
  return fields;
}

}  // namespace

std::string describe(const RequestLine& line) {
  std::string out = fmt::format(
      "{} {} {} {}", line.method, line.path.substr(0, kShownPath), line.status, line.request_id);
  if (line.facts) {
    const GenerationWatch::Facts& facts = *line.facts;
    out += fmt::format(" {}: {} prompt", line.model, facts.prompt_tokens);
    out += facts.cached_tokens > 0 ? fmt::format(" ({} cached)", facts.cached_tokens) : "";
    out += fmt::format(" + {} generated tokens", facts.generated_tokens);
    if (facts.first_token_seconds) {
      out += fmt::format(", first after {}", format_seconds(*facts.first_token_seconds));
    }
    if (const double rate = tokens_per_second(facts); rate > 0.0) {
      out += fmt::format(", then {:.1f} tok/s", rate);
    }
    out += facts.finish.empty() ? "" : ", " + facts.finish;
  }
  if (!line.error.empty()) {
    out += fmt::format(", {}", line.error);
  }
  return out + fmt::format(", {}", format_seconds(line.seconds));
}

bool RequestLog::refusal_may_pass() {
  const int64_t now = std::chrono::duration_cast<std::chrono::seconds>(
                          std::chrono::steady_clock::now().time_since_epoch())
                          .count();
  if (second_.exchange(now) != now) {
    in_second_ = 0;
    if (const int64_t hidden = hidden_.exchange(0); hidden > 0) {
      log_info("{} more refused requests were not logged", hidden);
    }
  }
  if (++in_second_ <= kRefusalsPerSecond) {
    return true;
  }
  ++hidden_;
  return false;
}

void RequestLog::write(const RequestLine& line, bool generation) {
  const bool told = line.facts.has_value() || (generation && refusal_may_pass());
  const LogLevel level = told ? LogLevel::kInfo : LogLevel::kDebug;
  if (log_enabled(level)) {
    log_event(level, describe(line), fields_of(line));
  }
}

}  // namespace tutti
