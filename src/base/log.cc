#include "base/log.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <ctime>
#include <memory>
#include <string>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/json.h"
#include "base/log_event.h"
#include "base/utf8.h"

namespace tutti {

namespace {

constexpr const char* kTextPattern = "%H:%M:%S %L %v";
constexpr size_t kMaxJsonMessage = 2 << 10;
constexpr size_t kMaxJsonField = 160;

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> kLogger = [] {
    auto made = std::make_shared<spdlog::logger>("tutti",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern(kTextPattern);
    return made;
  }();
  return *kLogger;
}

// To the same sink, whatever the level.
spdlog::logger& notices() {
  static const std::shared_ptr<spdlog::logger> kLogger =
      std::make_shared<spdlog::logger>("tutti", logger().sinks().front());
  return *kLogger;
}

std::atomic<bool>& as_json() {
  static std::atomic<bool> json{false};
  return json;
}

std::atomic<SpellOption>& option_spelling() {
  static std::atomic<SpellOption> spelling{nullptr};
  return spelling;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

const char* level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
    case LogLevel::kOff:
      break;
  }
  return "error";
}

bool is_control(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

// Line and paragraph separators and the controls of text direction.
bool is_deceptive(char32_t c) {
  return (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e ||
         c == 0x200f || c == 0x061c || c == 0xfeff;
}

// At most `bytes` of `text`, which is valid UTF-8, with a mark if something is missing.
std::string shortened(std::string text, size_t bytes) {
  if (text.size() <= bytes) {
    return text;
  }
  size_t end = bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) {
    --end;
  }
  text.resize(end);
  return text + "...";
}

std::string utc_time() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                     utc.tm_year + 1900,
                     utc.tm_mon + 1,
                     utc.tm_mday,
                     utc.tm_hour,
                     utc.tm_min,
                     utc.tm_sec,
                     ms.count() % 1000);
}

void append_value(std::string& out, const LogField& field) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    append_json_string(out, shortened(printable(text->substr(0, kMaxJsonField)), kMaxJsonField));
  } else if (const auto* integer = std::get_if<int64_t>(&field.value)) {
    out += std::to_string(*integer);
  } else {
    const double number = std::get<double>(field.value);
    out += std::isfinite(number) ? fmt::format("{:.6g}", number) : "null";
  }
}

}  // namespace

void set_log_level(LogLevel level) {
  logger().set_level(to_spdlog(level));
}

void set_log_option_spelling(SpellOption spell) {
  option_spelling() = spell;
}

void set_log_format(LogFormat format) {
  as_json() = format == LogFormat::kJson;
  logger().set_pattern(format == LogFormat::kJson ? "%v" : kTextPattern);
}

bool log_enabled(LogLevel level) {
  return logger().should_log(to_spdlog(level));
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    const auto length = static_cast<size_t>(c.length);
    if (!c.valid) {
      for (const char byte : text.substr(i, length)) {
        out += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(byte)));
      }
    } else if (is_control(c.code)) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c.code));
    } else if (is_deceptive(c.code)) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c.code));
    } else {
      out += text.substr(i, length);
    }
    i += length;
  }
  return out;
}

std::string json_log_line(LogLevel level,
                          std::string_view message,
                          std::span<const LogField> fields) {
  std::string out =
      fmt::format(R"({{"time":"{}","level":"{}","message":)", utc_time(), level_name(level));
  append_json_string(out,
                     shortened(printable(message.substr(0, kMaxJsonMessage)), kMaxJsonMessage));
  for (const LogField& field : fields) {
    out += ',';
    append_json_string(out, field.name);
    out += ':';
    append_value(out, field);
  }
  out += '}';
  return out;
}

namespace {

std::string written(LogLevel level, std::string_view message, std::span<const LogField> fields) {
  constexpr size_t kPrefix = 16;  // time and level
  return as_json() ? json_log_line(level, message, fields)
                   : shortened(printable(message.substr(0, kMaxLogLine)), kMaxLogLine - kPrefix);
}

}  // namespace

void log_line(LogLevel level, std::string_view line) {
  const SpellOption spell = option_spelling();
  if (spell == nullptr) {
    log_event(level, line, {});
  } else {
    log_event(level, spell_options(line, spell), {});
  }
}

void log_event(LogLevel level, std::string_view message, std::span<const LogField> fields) {
  if (log_enabled(level)) {
    logger().log(to_spdlog(level), "{}", written(level, message, fields));
  }
}

void log_notice(std::string_view message) {
  notices().info("{}", written(LogLevel::kInfo, message, {}));
}

}  // namespace tutti
