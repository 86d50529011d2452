// Log lines with fields, and the choice between readable lines and JSON.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/log.h"
#include "base/option_names.h"

namespace tutti {

enum class LogFormat {
  kText,  ///< "12:34:56 I message"
  kJson,  ///< one object a line: time (UTC), level, message and the fields of events
};

void set_log_format(LogFormat format);
/// How lines of text name options; without it the marks stay (base/option_names.h).
void set_log_option_spelling(SpellOption spell);

struct LogField {
  std::string_view name;
  std::variant<std::string_view, int64_t, double> value;
};

/// As text only `message` is printed, so it must say what the fields say.
void log_event(LogLevel level, std::string_view message, std::span<const LogField> fields);

/// A line of level info that is written at every level: what whoever started the program waits for.
void log_notice(std::string_view message);

/// No line is longer than this, whatever it is made from.
inline constexpr size_t kMaxLogLine = 8 << 10;

/// Control characters, line separators, characters that turn the direction of text and bytes that
/// are no UTF-8 become escapes, so that text from clients can neither forge a line nor hide in one.
std::string printable(std::string_view text);

/// The line of `message` and `fields` in JSON, without its end; for tests.
std::string json_log_line(LogLevel level,
                          std::string_view message,
                          std::span<const LogField> fields);

}  // namespace tutti
