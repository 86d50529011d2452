#include "grammar/string_formats.h"

#include <algorithm>
#include <string>

#include "grammar/pattern.h"

namespace tutti::grammar {

namespace {

// RFC 3339. The 29th of February is a date in leap years only.
constexpr const char* kDate =
    R"((?:\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8])))"
    R"(|(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29))";
constexpr const char* kTime =
    R"((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))";
// Appendix A.
constexpr const char* kDuration =
    R"(P(?:\d+W|(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)(?:T(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S))?)"
    R"(|T(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S)))";
// RFC 5321: a dot-atom, and a name of hosts.
constexpr const char* kEmail =
    R"([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@)"
    R"([A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*)";
// RFC 1123.
constexpr const char* kHostname =
    R"([A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*)";
constexpr const char* kIpv4 =
    R"((?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d))";
constexpr const char* kUuid = R"([0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})";
// RFC 3986, loosely: its characters, percent signs before two digits, brackets around an address.
constexpr const char* kUri =
    R"([A-Za-z][A-Za-z0-9+.-]*:(?://(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@)?)"
    R"((?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::\d*)?)"
    R"((?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*)"
    R"(|/?(?:(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*)?))"
    R"((?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?(?:#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?)";
constexpr const char* kJsonPointer = R"((?:/(?:[^/~]|~[01])*)*)";

// RFC 4291: eight groups; :: stands for one or more of them; the last two may be an IPv4 address.
std::string ipv6_pattern() {
  const std::string group = "[0-9a-fA-F]{1,4}";
  const std::string last = "(?:" + group + ":" + group + "|" + kIpv4 + ")";
  std::string out = "(?:" + group + ":){6}" + last;
  for (int before = 0; before <= 7; ++before) {
    // `before` groups, ::, and at most 7 - before groups.
    const std::string head =
        before == 0 ? "" : fmt::format("{}(?::{}){{{}}}", group, group, before - 1);
    const int after = 7 - before;
    std::string tail;
    if (after >= 2) {
      tail = fmt::format("(?:(?:{}:){{0,{}}}(?:{}|{})|{})?", group, after - 2, last, group, group);
    } else if (after == 1) {
      tail = "(?:" + group + ")?";
    }
    out += "|" + head + "::" + tail;
  }
  return "(?:" + out + ")";
}

constexpr std::string_view kNames[] = {"date",
                                       "date-time",
                                       "duration",
                                       "email",
                                       "hostname",
                                       "ipv4",
                                       "ipv6",
                                       "json-pointer",
                                       "time",
                                       "uri",
                                       "uuid"};

std::string pattern_of(std::string_view name) {
  return name == "date"           ? kDate
         : name == "time"         ? kTime
         : name == "date-time"    ? std::string(kDate) + "T" + kTime
         : name == "duration"     ? kDuration
         : name == "email"        ? kEmail
         : name == "hostname"     ? kHostname
         : name == "ipv4"         ? kIpv4
         : name == "ipv6"         ? ipv6_pattern()
         : name == "uuid"         ? kUuid
         : name == "uri"          ? kUri
         : name == "json-pointer" ? kJsonPointer
                                  : std::string();
}

}  // namespace

std::span<const std::string_view> string_formats() {
  return kNames;
}

Result<ExprId> string_format(RegexPool& pool, std::string_view name) {
  if (std::ranges::find(kNames, name) == std::end(kNames)) {
    return error(StatusCode::kUnsupported,
                 "\"{}\" is not enforced; leave it out, or write it as a pattern (enforced: {})",
                 name.substr(0, 60),
                 fmt::join(kNames, ", "));
  }
  TUTTI_TRY(
      const ExprId pattern,
      compile_pattern(
          pool, pattern_of(name), PatternUse::kWhole, Writing::kJsonString, RegexPool::kNothing));
  if (name != "hostname") {
    return pattern;
  }
  const ExprId character = one_of(pool, CharSet::all(), Writing::kJsonString);
  return pool.both(pattern, pool.repeat(character, 1, 253));
}

}  // namespace tutti::grammar
