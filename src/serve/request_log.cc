#include "serve/request_log.h"

#include <vector>

#include "base/log_event.h"
#include "base/units.h"

namespace tutti {

namespace {

constexpr size_t kShownPath = 200;
constexpr size_t kShownMessage = 200;

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
  if (!line.field.empty()) {
    fields.push_back({"field", line.field});
  }
  if (!line.warnings.empty()) {
    fields.push_back({"warnings", line.warnings});
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

// Cut between characters.
std::string_view shown(std::string_view text, size_t bytes) {
  while (bytes < text.size() && bytes > 0 &&
         (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) {
    --bytes;
  }
  return text.substr(0, bytes);
}

int64_t this_second() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

std::string describe(const RequestLine& line) {
  std::string out = line.method.empty()
                        ? fmt::format("no request {} {}", line.status, line.request_id)
                        : fmt::format("{} {} {} {}",
                                      line.method,
                                      line.path.substr(0, kShownPath),
                                      line.status,
                                      line.request_id);
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
    // "GET /nothing: no such route" begins as the line does.
    const std::string target = fmt::format("{} {}: ", line.method, line.path);
    std::string_view message = line.message;
    message.remove_prefix(message.starts_with(target) ? target.size() : 0);
    message = shown(message, kShownMessage);
    const bool named = line.field.empty() || message.find(line.field) != std::string_view::npos;
    out += fmt::format("{} from {}: {}{}{}{} ({})",
                       line.facts ? "," : "",
                       line.peer,
                       named ? "" : line.field,
                       named || message.empty() ? "" : ": ",
                       message,
                       line.message.ends_with(message) ? "" : "…",
                       line.error);
  }
  if (!line.warnings.empty()) {
    out += fmt::format(", warned of {}", shown(line.warnings, kShownMessage));
  }
  return out + fmt::format(", {}", format_seconds(line.seconds));
}

bool RequestLog::refusal_may_pass() {
  const int64_t now = this_second();
  if (second_.exchange(now) != now) {
    in_second_ = 0;
    tell(hidden_.exchange(0));
  }
  if (++in_second_ <= kRefusalsPerSecond) {
    return true;
  }
  ++hidden_;
  return false;
}

void RequestLog::tell(int64_t left_out) {
  if (left_out > 0) {
    log_info("{} more refused requests were not logged", left_out);
  }
}

void RequestLog::tell_left_out() {
  if (hidden_ > 0 && second_ != this_second()) {
    tell(hidden_.exchange(0));
  }
}

void RequestLog::end() {
  tell(hidden_.exchange(0));
}

void RequestLog::write(const RequestLine& line, Kind kind) {
  constexpr int kClientLeft = 499;
  const bool refused = line.status >= 400 && line.status != kClientLeft && kind == Kind::kRequest;
  const bool told = line.facts.has_value() || (refused && refusal_may_pass());
  const LogLevel level = told ? LogLevel::kInfo : LogLevel::kDebug;
  if (log_enabled(level)) {
    log_event(level, describe(line), fields_of(line));
  }
}

}  // namespace tutti
