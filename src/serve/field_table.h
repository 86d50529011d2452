// The rows of the dialects' tables of fields.
#pragma once
#include <optional>
#include <vector>

#include "serve/field_rules.h"

namespace tutti {

// A field that fills the parameter of its name. `narrower`: what OpenAI allows of its range.
inline FieldRule fills(const char* name, unsigned routes, std::optional<ValueRange> narrower = {}) {
  const RequestParameter& parameter = request_parameter(name);
  return {.name = name,
          .routes = routes,
          .use = FieldUse::kUsed,
          .type = parameter.type,
          .range = narrower.value_or(parameter.range),
          .parameter = &parameter,
          .fallback = parameter.fallback,
          .help = parameter.help};
}

// A second name of a parameter's field.
inline FieldRule also_fills(const char* name, unsigned routes, const FieldRule& first) {
  FieldRule rule = first;
  rule.name = name;
  rule.routes = routes;
  return rule;
}

// A field of the request around the generation.
inline FieldRule used(const char* name,
                      unsigned routes,
                      ParameterType type,
                      const char* fallback,
                      const char* help,
                      ValueRange range = {}) {
  return {.name = name,
          .routes = routes,
          .use = FieldUse::kUsed,
          .type = type,
          .range = range,
          .fallback = fallback,
          .help = help};
}

inline FieldRule harmless(const char* name, unsigned routes, ParameterType type) {
  return {.name = name, .routes = routes, .use = FieldUse::kHarmless, .type = type, .range = {}};
}

inline FieldRule refused(const char* name,
                         unsigned routes,
                         ParameterType type,
                         const char* neutral = "",
                         const char* remedy = "",
                         ValueRange range = {}) {
  return {.name = name,
          .routes = routes,
          .use = FieldUse::kRefused,
          .type = type,
          .range = range,
          .neutral = neutral,
          .remedy = remedy};
}

/// How tokens are chosen, and what else a request of any API may say of its generation, under the
/// names of the parameters.
inline std::vector<FieldRule> generation_rows(unsigned routes) {
  constexpr double kIntMax = 2147483647;
  constexpr double kSecondsMax = 2'592'000;
  return {
      fills("temperature", routes, ValueRange{0, 2}),
      fills("top_p", routes),
      fills("top_k", routes, ValueRange{-1, kIntMax}),
      fills("min_p", routes),
      fills("presence_penalty", routes),
      fills("frequency_penalty", routes),
      fills("repetition_penalty", routes, ValueRange{0, 10, true}),
      fills("seed", routes),
      fills("priority", routes),
      fills("cache_salt", routes),
      fills("ignore_eos", routes),
      fills("min_tokens", routes),
      used("timeout",
           routes,
           ParameterType::kNumber,
           "‹request_timeout›",
           "Seconds of the whole request",
           {0, kSecondsMax, true}),
  };
}

/// All of them, one after the other.
inline std::vector<FieldRule> joined(std::vector<FieldRule> rows,
                                     const std::vector<FieldRule>& more) {
  rows.insert(rows.end(), more.begin(), more.end());
  return rows;
}

}  // namespace tutti
