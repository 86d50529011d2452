// The rows of the dialects' tables of fields.
#pragma once
#include <optional>

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

}  // namespace tutti
