// What an engine tells whoever started it, a line of JSON each, over the pipe that it finds as
// descriptor 3: how far it is, that it is ready, why it is not, and that it is alive.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tutti {

struct EngineReport {
  enum class Kind {
    kPlanning,
    kLoading,  ///< done_bytes of total_bytes
    kWarming,  ///< weights are there; kernels are tried and measured
    kReady,    ///< max_context, created_unix, description
    kAlive,    ///< said again and again once it is ready
    kRefused,  ///< it ends, and would end the same way if it were started again: error
    kFailed,   ///< it ends, and might not if it were started again: error
  };

  Kind kind = Kind::kAlive;
  int64_t done_bytes = 0;
  int64_t total_bytes = 0;
  int64_t max_context = 0;
  int64_t created_unix = 0;
  std::string description;
  Status error;
};

/// The report of an engine that could not start, or has failed: whether another try may help is in
/// the code.
EngineReport report_of(const Status& error);

/// With its end.
std::string to_line(const EngineReport& report);

/// nullopt: the line is none, as of another version; it is passed over.
std::optional<EngineReport> parse_report(std::string_view line);

/// Writes reports without ever waiting: one that finds no room is lost. Thread-safe.
class ReportWriter {
 public:
  /// `descriptor` -1: nobody listens.
  explicit ReportWriter(int descriptor);

  void write(const EngineReport& report) const;

 private:
  int descriptor_;
};

}  // namespace tutti
