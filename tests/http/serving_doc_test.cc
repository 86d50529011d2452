// docs/serving.md holds tables of routes, limits, request fields and metrics. They must be what the
// code says. With TUTTI_WRITE_DOCS=1 in the environment the test writes them instead.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "serve/http_api.h"
#include "serve/limit_table.h"
#include "serve/request_fields.h"

namespace tutti {
namespace {

constexpr const char* kDocument = TUTTI_SOURCE_DIR "/docs/serving.md";

std::string document() {
  std::ifstream file(kDocument);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Puts `table` between "<!-- name -->" and "<!-- end -->"; returns what was there.
std::string exchange_table(std::string& text, const std::string& name, const std::string& table) {
  const std::string mark = "<!-- " + name + " -->\n";
  const size_t begin = text.find(mark);
  const size_t end = text.find("<!-- end -->", begin);
  if (begin == std::string::npos || end == std::string::npos) {
    return "no such mark";
  }
  const size_t first = begin + mark.size();
  const std::string old = text.substr(first, end - first);
  text.replace(first, end - first, table);
  return old;
}

const char* unit_name(LimitRow::Unit unit) {
  switch (unit) {
    case LimitRow::Unit::kBytes:
      return "bytes";
    case LimitRow::Unit::kSeconds:
      return "seconds";
    case LimitRow::Unit::kCount:
      break;
  }
  return "count";
}

std::string limits_table() {
  std::string out = "| flag | default | unit | what | beyond it |\n|---|---|---|---|---|\n";
  for (const LimitRow& row : limit_rows()) {
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n",
                       row.flag,
                       format_limit(limit_value(row, {}, {})),
                       unit_name(row.unit),
                       row.what,
                       row.answer);
  }
  return out;
}

const char* type_name(FieldType type) {
  switch (type) {
    case FieldType::kBool:
      return "true or false";
    case FieldType::kInt:
      return "integer";
    case FieldType::kNumber:
      return "number";
    case FieldType::kString:
      return "string";
    case FieldType::kObject:
      return "object";
    case FieldType::kArray:
      return "list";
    case FieldType::kAny:
      break;
  }
  return "several";
}

std::string range_words(const FieldRule& rule) {
  if (rule.type != FieldType::kInt && rule.type != FieldType::kNumber) {
    return "";
  }
  constexpr double kInt64 = 9.2e18;
  return rule.max > kInt64
             ? "any of 64 bits, signed or not"
             : fmt::format("{}{} to {}", rule.min_excluded ? "above " : "", rule.min, rule.max);
}

std::string fields_table() {
  std::string out = "| field | routes | type | range | if absent |\n|---|---|---|---|---|\n";
  std::string refused;
  for (const FieldRule& rule : field_rules()) {
    if (rule.use == FieldUse::kRefused) {
      refused += fmt::format("{}`{}`", refused.empty() ? "" : ", ", rule.name);
      continue;
    }
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n",
                       rule.name,
                       rule.routes == FieldRule::kBoth       ? "both"
                       : rule.routes == FieldRule::kChatOnly ? "chat"
                                                             : "completions",
                       type_name(rule.type),
                       range_words(rule),
                       rule.use == FieldUse::kHarmless ? "accepted, no effect" : rule.fallback);
  }
  return out + "\nKnown and refused by name unless they ask for nothing: " + refused + ".\n";
}

std::string metrics_table() {
  std::string out = "| metric | type | labels | what |\n|---|---|---|---|\n";
  for (const MetricInfo& info : metric_rows()) {
    out += fmt::format(
        "| `tutti:{}` | {} | {} | {} |\n", info.name, info.type, info.labels, info.help);
  }
  return out;
}

std::string routes_table() {
  std::string out = "| route | method | key | above the connection limit |\n|---|---|---|---|\n";
  for (const Route& route : route_table()) {
    const bool named = std::string_view(route.path).ends_with('/');
    out += fmt::format("| `{}{}` | {} | {} | {} |\n",
                       route.path,
                       named ? "{model}" : "",
                       route.method,
                       route.needs_key ? "yes" : "no",
                       route.probe ? "answered" : "503");
  }
  return out;
}

TEST(ServingDoc, TablesAreWhatTheCodeSays) {
  std::string text = document();
  ASSERT_FALSE(text.empty());
  const bool write = std::getenv("TUTTI_WRITE_DOCS") != nullptr;
  for (const auto& [name, table] : {std::pair{"routes", routes_table()},
                                    {"limits", limits_table()},
                                    {"fields", fields_table()},
                                    {"metrics", metrics_table()}}) {
    const std::string old = exchange_table(text, name, table);
    EXPECT_TRUE(write || old == table)
        << "the table of " << name << " in docs/serving.md differs from the code; to write it: "
        << "TUTTI_WRITE_DOCS=1 build/cpu/tests/http_observe_test\n"
        << table;
  }
  if (write) {
    std::ofstream(kDocument) << text;
  }
}

// A range in the table that the code does not enforce would be worse than none.
TEST(ServingDoc, EveryUsedFieldHasADefaultAndEveryNumberARange) {
  for (const FieldRule& rule : field_rules()) {
    if (rule.use == FieldUse::kUsed) {
      EXPECT_STRNE(rule.fallback, "") << rule.name;
    }
    if (rule.type == FieldType::kInt || rule.type == FieldType::kNumber) {
      EXPECT_LT(rule.min, rule.max) << rule.name;
    }
  }
}

}  // namespace
}  // namespace tutti
