#include "supervise/engine_report.h"

#include <array>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "base/json_fields.h"
#include "base/utf8.h"

namespace tutti {

namespace {

using Kind = EngineReport::Kind;

constexpr std::array<std::pair<Kind, const char*>, 7> kNames{{{Kind::kPlanning, "planning"},
                                                              {Kind::kLoading, "loading"},
                                                              {Kind::kWarming, "warming"},
                                                              {Kind::kReady, "ready"},
                                                              {Kind::kAlive, "alive"},
                                                              {Kind::kRefused, "refused"},
                                                              {Kind::kFailed, "failed"}}};

const char* name_of(Kind kind) {
  for (const auto& [known, name] : kNames) {
    if (known == kind) {
      return name;
    }
  }
  return "alive";
}

std::optional<Kind> kind_of(std::string_view name) {
  for (const auto& [kind, known] : kNames) {
    if (name == known) {
      return kind;
    }
  }
  return std::nullopt;
}

StatusCode code_of(std::string_view name) {
  for (int code = 0; code <= static_cast<int>(StatusCode::kInternal); ++code) {
    if (name == mapping(static_cast<StatusCode>(code)).name) {
      return static_cast<StatusCode>(code);
    }
  }
  return StatusCode::kInternal;
}

}  // namespace

EngineReport report_of(const Status& error) {
  const bool again =
      error.code() == StatusCode::kDevice || error.code() == StatusCode::kUnavailable ||
      error.code() == StatusCode::kDeadlineExceeded || error.code() == StatusCode::kInternal;
  return {.kind = again ? Kind::kFailed : Kind::kRefused, .error = error};
}

std::string to_line(const EngineReport& report) {
  std::vector<std::pair<std::string, Json>> members{{"report", name_of(report.kind)}};
  if (report.kind == Kind::kLoading) {
    members.emplace_back("done_bytes", report.done_bytes);
    members.emplace_back("total_bytes", report.total_bytes);
  } else if (report.kind == Kind::kReady) {
    members.emplace_back("max_context", report.max_context);
    members.emplace_back("created", report.created_unix);
    members.emplace_back("description", replace_invalid_utf8(report.description));
  } else if (report.kind == Kind::kRefused || report.kind == Kind::kFailed) {
    members.emplace_back("code", mapping(report.error.code()).name);
    members.emplace_back("message", replace_invalid_utf8(report.error.message()));
  }
  return to_string(Json::object(std::move(members))) + '\n';
}

std::optional<EngineReport> parse_report(std::string_view line) {
  const Result<Json> parsed = parse_json(line);
  if (!parsed.ok() || !parsed->is_object()) {
    return std::nullopt;
  }
  FieldReader fields(parsed->as_object(), "report");
  const std::optional<Kind> kind = kind_of(fields.string_or("report", ""));
  EngineReport report;
  report.done_bytes = fields.int_or("done_bytes", 0);
  report.total_bytes = fields.int_or("total_bytes", 0);
  report.max_context = fields.int_or("max_context", 0);
  report.created_unix = fields.int_or("created", 0);
  report.description = fields.string_or("description", "");
  const std::string message = fields.string_or("message", "");
  const std::string code = fields.string_or("code", "");
  if (!kind || !fields.status().ok()) {
    return std::nullopt;
  }
  report.kind = *kind;
  if (report.kind == Kind::kRefused || report.kind == Kind::kFailed) {
    report.error = Status(code_of(code), message);
  }
  return report;
}

ReportWriter::ReportWriter(int descriptor) : descriptor_(descriptor) {
  if (descriptor_ >= 0) {
    fcntl(descriptor_, F_SETFL, O_NONBLOCK);
    fcntl(descriptor_, F_SETFD, FD_CLOEXEC);
  }
}

void ReportWriter::write(const EngineReport& report) const {
  if (descriptor_ >= 0) {
    // Below PIPE_BUF a line is written whole or not at all, also beside other threads'.
    constexpr size_t kWhole = 4096;
    std::string line = to_line(report);
    if (line.size() > kWhole) {
      EngineReport shorter = report;
      shorter.description.resize(std::min<size_t>(shorter.description.size(), 512));
      shorter.error = Status(report.error.code(), report.error.message().substr(0, 1024));
      line = to_line(shorter);
    }
    [[maybe_unused]] const ssize_t written = ::write(descriptor_, line.data(), line.size());
  }
}

}  // namespace tutti
