// Events that have names.
#pragma once
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"

namespace tutti::testing {

struct NamedEvent {
  std::string kind;
  Json data;
};

/// Fails the test on anything but "event: …\ndata: …\n\n", and unless data's type is the name.
inline std::vector<NamedEvent> named_events(const std::string& body) {
  std::vector<NamedEvent> out;
  size_t begin = 0;
  while (begin < body.size()) {
    const size_t end = body.find("\n\n", begin);
    EXPECT_NE(end, std::string::npos) << "event without end";
    if (end == std::string::npos) {
      break;
    }
    const std::string event = body.substr(begin, end - begin);
    begin = end + 2;
    if (event.starts_with(": ")) {
      continue;
    }
    const size_t data = event.find("\ndata: ");
    EXPECT_TRUE(event.starts_with("event: ") && data != std::string::npos) << event;
    auto parsed = parse_json(event.substr(data + 7));
    EXPECT_TRUE(parsed.ok()) << event;
    const std::string kind = event.substr(7, data - 7);
    EXPECT_EQ(parsed->find("type")->as_string(), kind);
    out.push_back({.kind = kind, .data = *std::move(parsed)});
  }
  return out;
}

/// Their names, those that follow one another once.
inline std::string kinds_of(const std::vector<NamedEvent>& events) {
  std::string out;
  std::string last;
  for (const NamedEvent& event : events) {
    if (event.kind != last) {
      out += (out.empty() ? "" : " ") + event.kind;
    }
    last = event.kind;
  }
  return out;
}

}  // namespace tutti::testing
