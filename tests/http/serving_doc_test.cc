// docs/serving.md holds tables of routes, limits, request fields and metrics. They must be what the
// code says.
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "base/option_names.h"
#include "doc_tables.h"
#include "serve/anthropic/anthropic.h"
#include "serve/http_api.h"
#include "serve/limit_table.h"
#include "serve/ollama/ollama.h"
#include "serve/openai/fields.h"
#include "serve/openai/openai.h"
#include "serve/responses/responses.h"
#include "serve/vllm/vllm.h"

namespace tutti {
namespace {

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
                       as_flag(row.name),
                       format_limit(limit_value(row, {}, {})),
                       unit_name(row.unit),
                       spell_options(row.what, &as_flag),
                       row.answer);
  }
  return out;
}

const char* type_name(ParameterType type) {
  switch (type) {
    case ParameterType::kBool:
      return "true or false";
    case ParameterType::kInteger:
      return "integer";
    case ParameterType::kNumber:
      return "number";
    case ParameterType::kString:
      return "string";
    case ParameterType::kObject:
      return "object";
    case ParameterType::kList:
      return "list";
    case ParameterType::kSeveral:
      break;
  }
  return "several";
}

std::string range_text(const FieldRule& rule) {
  if (rule.type != ParameterType::kInteger && rule.type != ParameterType::kNumber) {
    return "";
  }
  constexpr double kInt64 = 9.2e18;
  return rule.range.max > kInt64 ? "any of 64 bits, signed or not"
                                 : fmt::format("{}{} to {}",
                                               rule.range.min_excluded ? "above " : "",
                                               rule.range.min,
                                               rule.range.max);
}

std::string rows_of(const Dialect& dialect,
                    const std::function<std::string(const FieldRule&)>& routes) {
  std::string out =
      "| field | routes | type | range | if absent | what |\n|---|---|---|---|---|---|\n";
  std::string refused;
  for (const FieldRule& rule : dialect.fields()) {
    if (rule.use == FieldUse::kRefused) {
      refused += fmt::format("{}`{}`", refused.empty() ? "" : ", ", rule.name);
      continue;
    }
    out += fmt::format("| `{}` | {} | {} | {} | {} | {} |\n",
                       rule.name,
                       routes(rule),
                       type_name(rule.type),
                       range_text(rule),
                       spell_options(rule.fallback, &as_flag),
                       rule.use == FieldUse::kHarmless ? "accepted, no effect" : rule.help);
  }
  return out + "\nKnown and refused by name unless they ask for nothing: " + refused + ".\n";
}

std::string fields_table() {
  return rows_of(openai_dialect(), [](const FieldRule& rule) {
    return rule.routes == kBothRoutes ? "both" : rule.routes == kChatOnly ? "chat" : "completions";
  });
}

// Of another dialect: its routes by their last words, those of one name once.
std::string dialect_table(const Dialect& dialect) {
  return rows_of(dialect, [&](const FieldRule& rule) {
    std::string all;
    std::string out;
    for (size_t i = 0; i < dialect.routes().size(); ++i) {
      const std::string_view path = dialect.routes()[i].path;
      const std::string name(path.substr(path.rfind('/') + 1));
      const auto add = [&](std::string& to) {
        to += to.find(name) != std::string::npos ? "" : (to.empty() ? "" : ", ") + name;
      };
      add(all);
      if ((rule.routes >> i & 1U) != 0) {
        add(out);
      }
    }
    return out.empty() ? std::string("options") : out == all ? std::string("all") : out;
  });
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
    out += fmt::format("| `{}` | {} | {} | {} |\n",
                       route.pattern(),
                       route.method,
                       route.needs_key ? "yes" : "no",
                       route.probe ? "answered" : "503");
  }
  return out;
}

TEST(ServingDoc, TablesAreWhatTheCodeSays) {
  testing::expect_tables("docs/serving.md",
                         {{"routes", routes_table()},
                          {"limits", limits_table()},
                          {"fields", fields_table()},
                          {"metrics", metrics_table()}});
  testing::expect_tables("docs/dialects.md",
                         {{"anthropic fields", dialect_table(anthropic_dialect())},
                          {"responses fields", dialect_table(responses_dialect())},
                          {"ollama fields", dialect_table(ollama_dialect())},
                          {"vllm fields", dialect_table(vllm_dialect())}});
}

// A range in the table that the code does not enforce would be worse than none.
TEST(ServingDoc, EveryUsedFieldHasADefaultAndEveryNumberARange) {
  for (const Dialect* dialect : dialects()) {
    for (const FieldRule& rule : dialect->fields()) {
      if (rule.use == FieldUse::kUsed) {
        EXPECT_STRNE(rule.fallback, "") << rule.name;
        EXPECT_STRNE(rule.help, "") << rule.name;
      }
      if (rule.type == ParameterType::kInteger || rule.type == ParameterType::kNumber) {
        EXPECT_LT(rule.range.min, rule.range.max) << rule.name;
      }
    }
  }
}

// What a route lets through, the engine must take.
TEST(ServingDoc, NoFieldAllowsMoreThanItsParameter) {
  int checked = 0;
  std::vector<FieldRule> rules;
  for (const Dialect* dialect : dialects()) {
    rules.insert(rules.end(), dialect->fields().begin(), dialect->fields().end());
  }
  for (const FieldRule& rule : rules) {
    const RequestParameter* parameter = rule.parameter;
    if (parameter == nullptr) {
      continue;
    }
    EXPECT_EQ(rule.type, parameter->type) << rule.name;
    EXPECT_LE(rule.range.max, parameter->range.max) << rule.name;
    EXPECT_GE(rule.range.min, parameter->minus_one_is_off ? -1 : parameter->range.min) << rule.name;
    EXPECT_TRUE(rule.range.min_excluded || !parameter->range.min_excluded ||
                rule.range.min > parameter->range.min)
        << rule.name;
    ++checked;
  }
  EXPECT_GT(checked, 20);
}

}  // namespace
}  // namespace tutti
