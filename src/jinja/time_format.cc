#include <array>

#include "jinja/text_format.h"

namespace tutti::jinja {

namespace {

constexpr std::array<std::string_view, 12> kMonths = {"January",
                                                      "February",
                                                      "March",
                                                      "April",
                                                      "May",
                                                      "June",
                                                      "July",
                                                      "August",
                                                      "September",
                                                      "October",
                                                      "November",
                                                      "December"};
constexpr std::array<std::string_view, 7> kDays = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

struct CivilTime {
  int64_t year = 1970;
  int month = 1, day = 1, hour = 0, minute = 0, second = 0;
  int week_day = 0;  // 0: Sunday
  int year_day = 1;
};

// Days to civil date: H. Hinnant, "chrono-compatible low-level date algorithms".
CivilTime civil_time(int64_t unix_seconds) {
  constexpr int64_t kDay = 86400;
  int64_t days = unix_seconds / kDay;
  int64_t rest = unix_seconds % kDay;
  if (rest < 0) {
    rest += kDay;
    --days;
  }
  CivilTime t;
  t.hour = static_cast<int>(rest / 3600);
  t.minute = static_cast<int>(rest / 60 % 60);
  t.second = static_cast<int>(rest % 60);
  t.week_day = static_cast<int>(((days + 4) % 7 + 7) % 7);
  const int64_t shifted = days + 719468;
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const int64_t day_of_era = shifted - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted_month = (5 * day_of_year + 2) / 153;
  t.day = static_cast<int>(day_of_year - (153 * shifted_month + 2) / 5 + 1);
  t.month = static_cast<int>(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
  t.year = year_of_era + era * 400 + (t.month <= 2 ? 1 : 0);
  const bool leap = (t.year % 4 == 0 && t.year % 100 != 0) || t.year % 400 == 0;
  constexpr std::array<int, 12> kBefore = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  t.year_day = kBefore[static_cast<size_t>(t.month - 1)] + t.day + (leap && t.month > 2 ? 1 : 0);
  return t;
}

std::string format_code(char code, const CivilTime& t) {
  const std::string_view month = kMonths[static_cast<size_t>(t.month - 1)];
  const std::string_view day = kDays[static_cast<size_t>(t.week_day)];
  const int hour12 = t.hour % 12 == 0 ? 12 : t.hour % 12;
  switch (code) {
    case 'Y':
      return fmt::format("{}", t.year);
    case 'y':
      return fmt::format("{:02}", t.year % 100);
    case 'm':
      return fmt::format("{:02}", t.month);
    case 'd':
      return fmt::format("{:02}", t.day);
    case 'e':
      return fmt::format("{:2}", t.day);
    case 'H':
      return fmt::format("{:02}", t.hour);
    case 'I':
      return fmt::format("{:02}", hour12);
    case 'M':
      return fmt::format("{:02}", t.minute);
    case 'S':
      return fmt::format("{:02}", t.second);
    case 'f':
      return "000000";
    case 'j':
      return fmt::format("{:03}", t.year_day);
    case 'p':
      return t.hour < 12 ? "AM" : "PM";
    case 'B':
      return std::string(month);
    case 'b':
    case 'h':
      return std::string(month.substr(0, 3));
    case 'A':
      return std::string(day);
    case 'a':
      return std::string(day.substr(0, 3));
    case 'w':
      return fmt::format("{}", t.week_day);
    case 'u':
      return fmt::format("{}", t.week_day == 0 ? 7 : t.week_day);
    case 'F':
      return fmt::format("{}-{:02}-{:02}", t.year, t.month, t.day);
    case 'T':
      return fmt::format("{:02}:{:02}:{:02}", t.hour, t.minute, t.second);
    case 'D':
      return fmt::format("{:02}/{:02}/{:02}", t.month, t.day, t.year % 100);
    case 'R':
      return fmt::format("{:02}:{:02}", t.hour, t.minute);
    case 'Z':
    case 'z':
      return "";  // Python prints nothing for a time without zone
    case '%':
      return "%";
    default:
      fail("strftime_now does not support the code '%{}'", code);
  }
}

}  // namespace

std::string format_time(int64_t unix_seconds, std::string_view format) {
  constexpr int64_t kYear9999 = 253402300799;
  if (unix_seconds < 0 || unix_seconds > kYear9999) {
    fail("the time {} is outside the years 1970 to 9999", unix_seconds);
  }
  const CivilTime time = civil_time(unix_seconds);
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out.push_back(format[i]);
      continue;
    }
    const bool unpadded = format[i + 1] == '-' && i + 2 < format.size();
    i += unpadded ? 2 : 1;
    std::string text = format_code(format[i], time);
    if (unpadded) {
      text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));
    }
    out += text;
  }
  return out;
}

}  // namespace tutti::jinja
