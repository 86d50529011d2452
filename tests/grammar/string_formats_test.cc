#include "grammar/string_formats.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

namespace tutti::grammar {
namespace {

// From the RFCs that JSON Schema names.
TEST(StringFormats, TakeWhatTheirRfcsTake) {
  struct Case {
    const char* format;
    std::vector<const char*> good;
    std::vector<const char*> bad;
  };

  const Case cases[] = {
      {"date",
       {"2024-02-29", "2000-02-29", "1999-12-31", "2023-04-30"},
       {"2023-02-29", "1900-02-29", "2023-04-31", "2023-13-01", "2023-1-1", "20230101"}},
      {"time",
       {"00:00:00Z", "23:59:59.123+05:30", "12:00:00-08:00"},
       {"24:00:00Z", "12:60:00Z", "12:00:00", "12:00Z"}},
      {"date-time",
       {"1985-04-12T23:20:50.52Z", "1996-12-19T16:39:57-08:00"},
       {"1985-04-12", "1985-04-12 23:20:50Z", "1985-02-30T23:20:50Z"}},
      {"duration",
       {"P3Y6M4DT12H30M5S", "P1W", "PT36H", "P1DT12H", "PT1M"},
       {"P", "PT", "1D", "P1H", "PT1D", "P2S", "P1Y2W"}},
      {"email",
       {"joe@example.com", "a.b+c@x.y-z.org", "~u@h"},
       {"joe", "@x", "a..b@x", ".a@x", "a@-x", "a@x..y"}},
      {"hostname", {"www.example.com", "a", "x-1.y"}, {"", "-a", "a-", "a..b", "a_b"}},
      {"ipv4", {"0.0.0.0", "192.168.1.255"}, {"256.1.1.1", "1.2.3", "01.2.3.4", "1.2.3.4.5"}},
      {"ipv6",
       {"::",
        "::1",
        "1::",
        "2001:db8::8:800:200c:417a",
        "1:2:3:4:5:6:7:8",
        "::ffff:1.2.3.4",
        "1:2:3:4:5:6:1.2.3.4",
        "1::8",
        "1:2:3:4:5:6:7::",
        "64:ff9b::192.0.2.33"},
       {"1",
        ":::",
        "1::2::3",
        "12345::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "::1.2.3",
        "1:2:3:4:5:6:7:8::"}},
      {"uuid",
       {"2EB8AA08-aa98-11ea-b4aa-73b441d16380"},
       {"2eb8aa08-aa98-11ea-b4aa-73b441d1638", "2eb8aa08aa9811eab4aa73b441d16380"}},
      {"uri",
       {"http://foo.bar/?baz=qux#quux",
        "mailto:John.Doe@example.com",
        "urn:oasis:names",
        "http://[::1]:8080/a%20b",
        "ftp://u:p@h/x;type=a",
        "tel:+1-816-555-1212"},
       {"//foo.bar", "/abc", "foo", "http://a b", "http://a/%zz", "bar,baz:foo"}},
      {"json-pointer", {"", "/a~1b/~0/0"}, {"a", "/~", "/~2"}},
  };
  std::map<std::string_view, bool> covered;
  for (const Case& one : cases) {
    covered[one.format] = true;
    RegexPool pool;
    const auto made = string_format(pool, one.format);
    ASSERT_TRUE(made.ok()) << made.status().message();
    for (const char* text : one.good) {
      EXPECT_TRUE(pool.matches(*made, text)) << one.format << ": " << text;
    }
    for (const char* text : one.bad) {
      EXPECT_FALSE(pool.matches(*made, text)) << one.format << ": " << text;
    }
  }
  for (const std::string_view name : string_formats()) {
    EXPECT_TRUE(covered[name]) << name;
  }
}

TEST(StringFormats, OthersAreRefusedByName) {
  RegexPool pool;
  const auto made = string_format(pool, "binary");
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.status().message().find("\"binary\" is not enforced"), std::string::npos);
}

}  // namespace
}  // namespace tutti::grammar
