#include "serve/openapi.h"

#include <map>
#include <string>

#include "base/ascii.h"
#include "base/option_names.h"
#include "serve/dialect.h"
#include "serve/http_api.h"

namespace tutti {

namespace {

const char* type_name(ParameterType type) {
  switch (type) {
    case ParameterType::kBool:
      return "boolean";
    case ParameterType::kInteger:
      return "integer";
    case ParameterType::kNumber:
      return "number";
    case ParameterType::kString:
      return "string";
    case ParameterType::kObject:
      return "object";
    case ParameterType::kList:
      return "array";
    case ParameterType::kSeveral:
      return nullptr;  // any
  }
  return nullptr;
}

bool is_number(ParameterType type) {
  return type == ParameterType::kInteger || type == ParameterType::kNumber;
}

// Whole numbers as such: 1, not 1.0.
Json number(double value, ParameterType type) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  const bool whole = type == ParameterType::kInteger && value > -kExact && value < kExact;
  return whole ? Json(static_cast<int64_t>(value)) : Json(value);
}

void add_range(JsonObject& schema, const FieldRule& rule) {
  if (!is_number(rule.type) || rule.range.min >= rule.range.max) {
    return;
  }
  schema.set(rule.range.min_excluded ? "exclusiveMinimum" : "minimum",
             number(rule.range.min, rule.type));
  schema.set("maximum", number(rule.range.max, rule.type));
}

bool required(const FieldRule& rule) {
  return rule.use == FieldUse::kUsed && std::string_view(rule.fallback) == "required";
}

std::string description(const FieldRule& rule) {
  switch (rule.use) {
    case FieldUse::kUsed:
      return required(rule)
                 ? fmt::format("{}. Required.", rule.help)
                 : spell_options(fmt::format("{}. Default: {}.", rule.help, rule.fallback),
                                 &as_flag);
    case FieldUse::kHarmless:
      return "Accepted without effect.";
    case FieldUse::kRefused:
      return *rule.neutral == '\0'
                 ? std::string("Not supported: refused.")
                 : fmt::format("Not supported: refused unless it is {}.", rule.neutral);
  }
  return {};
}

// Null stands for an absent field wherever one may be absent.
Json field_schema(const FieldRule& rule) {
  Json schema = Json::object();
  JsonObject& members = schema.as_object();
  if (const char* type = type_name(rule.type)) {
    members.set("type", required(rule) ? Json(type) : Json::array({type, "null"}));
  }
  if (rule.type == ParameterType::kList) {
    members.set("items", Json::object());
  }
  add_range(members, rule);
  members.set("description", description(rule));
  return schema;
}

Json body_schema(const Dialect& dialect, int route) {
  Json properties = Json::object();
  JsonArray needed;
  for (const FieldRule& rule : dialect.fields()) {
    if ((rule.routes >> static_cast<unsigned>(route) & 1U) == 0) {
      continue;
    }
    properties.as_object().set(rule.name, field_schema(rule));
    if (required(rule)) {
      needed.push_back(rule.name);
    }
  }
  return Json::object(
      {{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(needed)}});
}

Json content(const char* type, Json schema) {
  return Json::object({{type, Json::object({{"schema", std::move(schema)}})}});
}

// Of a dialect: in its own shape.
Json error_reply(const Dialect* dialect) {
  const bool ours = dialect == nullptr || dialect == dialects().front();
  return Json::object({{"description", "What was wrong, where, and what to do"},
                       {"content",
                        content("application/json",
                                ours ? Json::object({{"$ref", "#/components/schemas/Error"}})
                                     : Json::object({{"type", "object"}}))}});
}

Json generate_operation(const Route& route) {
  Json answers = content("application/json", Json::object({{"type", "object"}}));
  const bool generates = route.dialect_route().id_prefix != nullptr;
  if (generates) {
    answers.as_object().set(route.dialect->format(route.number, {})->content_type(),
                            Json::object({{"schema", Json::object({{"type", "string"}})}}));
  }
  return Json::object(
      {{"summary", route_summary(route)},
       {"requestBody",
        Json::object(
            {{"required", true},
             {"content", content("application/json", body_schema(*route.dialect, route.number))}})},
       {"responses",
        Json::object(
            {{"200",
              Json::object({{"description",
                             generates ? "The answer, or with stream its events" : "The answer"},
                            {"content", std::move(answers)}})},
             {"default", error_reply(route.dialect)}})}});
}

const char* summary(const Route& route) {
  switch (route.id) {
    case RouteId::kGenerate:
      return route.dialect_route().what;
    case RouteId::kPage:
      return route.dialect->pages()[static_cast<size_t>(route.number)].what;
    case RouteId::kModels:
      return "The models that are served";
    case RouteId::kModel:
      return "One of them";
    case RouteId::kLive:
      return "Whether the process works";
    case RouteId::kReady:
      return "Whether it takes requests";
    case RouteId::kIndex:
      return "The routes: a page for browsers, JSON for others";
    case RouteId::kVersion:
      return "Version and build of the program";
    case RouteId::kMetrics:
      return "Counters in Prometheus' text format";
    case RouteId::kGpus:
      return "The GPUs of this machine: load, memory, errors";
    case RouteId::kOpenApi:
      return "The interface in OpenAPI 3.1";
    case RouteId::kResponse:
      return "A stored response";
    case RouteId::kResponseInput:
      return "The items that it was asked with";
    case RouteId::kForgetResponse:
      return "Forgets a stored response";
    case RouteId::kDocs:
      return "The same as a page";
    case RouteId::kReplies:
      return "The replies under way or kept";
    case RouteId::kReply:
      return "The events of a kept stream, from Last-Event-ID or ?after= on";
    case RouteId::kStopReply:
      return "Stops a reply and forgets it";
    case RouteId::kManage:
      break;
  }
  return "";
}

const char* media_type(RouteId id) {
  switch (id) {
    case RouteId::kMetrics:
      return "text/plain";
    case RouteId::kDocs:
      return "text/html";
    case RouteId::kReply:
      return "text/event-stream";
    default:
      return "application/json";
  }
}

Json parameter(const char* name, const char* in, const char* what) {
  return Json::object({{"name", name},
                       {"in", in},
                       {"required", std::string_view(in) == "path"},
                       {"description", what},
                       {"schema", Json::object({{"type", "string"}})}});
}

Json get_operation(const Route& route) {
  const char* type = media_type(route.id);
  const bool text = std::string_view(type) != "application/json";
  Json operation = Json::object(
      {{"summary", summary(route)},
       {"responses",
        Json::object(
            {{"200",
              Json::object(
                  {{"description", summary(route)},
                   {"content",
                    content(type, Json::object({{"type", text ? "string" : "object"}}))}})},
             {"default", error_reply(route.dialect)}})}});
  if (route.takes_name()) {
    JsonArray parameters{parameter(route.of, "path", "Its name or id")};
    if (route.id == RouteId::kReply) {
      parameters.push_back(parameter("after", "query", "Number of the last event that came"));
      parameters.push_back(parameter("Last-Event-ID", "header", "The same"));
    }
    operation.as_object().set("parameters", std::move(parameters));
  }
  return operation;
}

Json security(const Route& route) {
  return route.needs_key ? Json::array({Json::object(), Json::object({{"bearer", Json::array()}})})
                         : Json::array();
}

Json paths() {
  Json all = Json::object();
  for (const Route& route : route_table()) {
    const bool generates = route.id == RouteId::kGenerate;
    Json operation = generates ? generate_operation(route) : get_operation(route);
    operation.as_object().set("security", security(route));
    Json* there = all.as_object().find(route.pattern());
    JsonObject& path =
        (there == nullptr ? all.as_object().set(route.pattern(), Json::object()) : *there)
            .as_object();
    path.set(to_lower(route.method), std::move(operation));
  }
  return all;
}

Json components() {
  const auto of_type = [](JsonArray types) { return Json::object({{"type", std::move(types)}}); };
  Json error = Json::object(
      {{"type", "object"},
       {"properties",
        Json::object({{"error",
                       Json::object({{"type", "object"},
                                     {"properties",
                                      Json::object({{"message", of_type({"string"})},
                                                    {"type", of_type({"string"})},
                                                    {"param", of_type({"string", "null"})},
                                                    {"code", of_type({"string", "null"})}})},
                                     {"required", Json::array({"message", "type"})}})}})},
       {"required", Json::array({"error"})}});
  return Json::object(
      {{"schemas", Json::object({{"Error", std::move(error)}})},
       {"securitySchemes",
        Json::object({{"bearer", Json::object({{"type", "http"}, {"scheme", "bearer"}})}})}});
}

}  // namespace

std::string route_summary(const Route& route) {
  return summary(route);
}

Json openapi_document() {
  return Json::object({{"openapi", "3.1.0"},
                       {"info", Json::object({{"title", "Tutti"}, {"version", "1"}})},
                       {"paths", paths()},
                       {"components", components()}});
}

}  // namespace tutti
