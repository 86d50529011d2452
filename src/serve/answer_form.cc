#include "serve/answer_form.h"

#include <vector>

#include "base/field_error.h"
#include "serve/field_rules.h"

namespace tutti {

namespace {

using grammar::GrammarSpec;
using Kind = GrammarSpec::Kind;
using Form = std::optional<GrammarSpec>;

constexpr size_t kMaxChoices = 100'000;

// A schema as JSON, or as a text that holds it.
Result<Form> schema_spec(const Json& given, const std::string& field) {
  GrammarSpec spec{.kind = Kind::kJsonSchema, .field = field};
  if (given.is_string()) {
    auto parsed = parse_json(given.as_string());
    if (!parsed.ok()) {
      return field_error(field, "a text that is no JSON: " + parsed.status().message());
    }
    spec.schema = std::make_shared<const Json>(std::move(*parsed));
  } else {
    spec.schema = std::make_shared<const Json>(given);
  }
  if (!spec.schema->is_object() && !spec.schema->is_bool()) {
    return field_error(
        field, fmt::format("got {}, wanted a JSON schema, an object", spec.schema->type_name()));
  }
  return Form(std::move(spec));
}

Result<Form> text_spec(Kind kind, const Json& given, const std::string& field) {
  if (!given.is_string()) {
    return field_error(field, fmt::format("got {}, wanted a string", given.type_name()));
  }
  return Form(GrammarSpec{.kind = kind, .text = given.as_string(), .field = field});
}

Result<Form> choice_spec(const Json& given, const std::string& field) {
  GrammarSpec spec{.kind = Kind::kChoice, .field = field};
  if (!given.is_array() || given.as_array().empty() || given.as_array().size() > kMaxChoices) {
    return field_error(field, fmt::format("wanted a list of 1 to {} strings", kMaxChoices));
  }
  for (const Json& choice : given.as_array()) {
    if (!choice.is_string()) {
      return field_error(field, fmt::format("got {} in it, wanted strings", choice.type_name()));
    }
    spec.choices.push_back(choice.as_string());
  }
  return Form(std::move(spec));
}

Status set_order(const Json& given, const std::string& field, GrammarSpec& spec) {
  const bool free = given.is_string() && given.as_string() == "free";
  if (!free && !(given.is_string() && given.as_string() == "declared")) {
    return field_error(field, "wanted \"declared\" or \"free\"");
  }
  spec.options.any_order = free;
  return ok_status();
}

bool asks(const Json* flag) {
  return flag != nullptr && flag->is_bool() && flag->as_bool();
}

// Of a field that stands by itself, or inside structured_outputs.
Result<Form> read_member(std::string_view name, const Json& given, const std::string& field) {
  if (name == "json" || name == "guided_json" || name == "json_schema") {
    return schema_spec(given, field);
  }
  if (name == "regex" || name == "guided_regex") {
    return text_spec(Kind::kPattern, given, field);
  }
  if (name == "choice" || name == "guided_choice") {
    return choice_spec(given, field);
  }
  if (name == "grammar" && given.is_object()) {  // TGI's {"type", "value"}
    const Json* type = given.find("type");
    const Json* value = given.find("value");
    const std::string kind = type != nullptr && type->is_string() ? type->as_string() : "";
    if (value == nullptr || (kind != "json" && kind != "json_schema" && kind != "regex")) {
      return field_error(field, "wanted a text, or {\"type\": \"json\" or \"regex\", \"value\"}");
    }
    return read_member(kind == "regex" ? "regex" : "json", *value, field + ".value");
  }
  if (name == "grammar" || name == "guided_grammar" || name == "ebnf") {
    return text_spec(Kind::kGbnf, given, field);
  }
  if (name == "json_object") {
    return asks(&given) ? Form(GrammarSpec{.kind = Kind::kJsonObject, .field = field}) : Form();
  }
  return Form();
}

// vLLM's object of that name.
Result<Form> read_structured(const Json& given) {
  Form form;
  const std::string base = "structured_outputs";
  for (const JsonMember& member : given.as_object()) {
    const std::string field = base + "." + member.key;
    if (member.value.is_null()) {
      continue;
    }
    if (member.key == "structural_tag") {
      return std::move(error(StatusCode::kUnsupported,
                             "{}: not supported; strict tools do that for their calls",
                             field))
          .with_param(field);
    }
    TUTTI_TRY(Form one, read_member(member.key, member.value, field));
    if (one.has_value() && form.has_value()) {
      return field_error(field, fmt::format("{} is there too; send one of them", form->field));
    }
    if (one.has_value()) {
      form = std::move(one);
    }
  }
  if (!form.has_value()) {
    return form;
  }
  if (asks(given.find("disable_any_whitespace"))) {
    form->options.space = "";
  }
  if (const Json* space = given.find("whitespace_pattern");
      space != nullptr && space->is_string()) {
    form->options.space = space->as_string();
  }
  form->options.closed = asks(given.find("disable_additional_properties"));
  if (const Json* order = given.find("key_order")) {
    TUTTI_RETURN_IF_ERROR(set_order(*order, base + ".key_order", *form));
  }
  return form;
}

}  // namespace

Result<Form> read_response_format(const Json& format, const std::string& field) {
  const Json* type = format.find("type");
  const std::string name = type != nullptr && type->is_string() ? type->as_string() : "";
  if (name == "text") {
    return Form();
  }
  if (name == "json_object") {
    // With a schema, as llama.cpp and Together have it.
    const Json* schema = format.find("schema");
    if (schema != nullptr && !schema->is_null()) {
      return schema_spec(*schema, field + ".schema");
    }
    return Form(GrammarSpec{.kind = Kind::kJsonObject, .field = field});
  }
  if (name != "json_schema") {
    return field_error(field + ".type",
                       fmt::format("got {}, wanted \"text\", \"json_object\" or \"json_schema\"",
                                   type == nullptr ? "nothing" : to_string(*type).substr(0, 80)));
  }
  const Json* inner = format.find("json_schema");
  const Json* schema = inner == nullptr ? nullptr : inner->find("schema");
  if (schema == nullptr || schema->is_null()) {
    return field_error(field + ".json_schema.schema", "missing; wanted a JSON schema");
  }
  TUTTI_TRY(Form spec, schema_spec(*schema, field + ".json_schema.schema"));
  spec->options.closed = asks(inner->find("strict"));
  if (const Json* order = inner->find("key_order")) {
    TUTTI_RETURN_IF_ERROR(set_order(*order, field + ".json_schema.key_order", *spec));
  }
  return spec;
}

Result<Form> read_answer_form(const JsonObject& body) {
  Form form;
  for (const char* name : {"response_format",
                           "structured_outputs",
                           "guided_json",
                           "guided_regex",
                           "guided_choice",
                           "guided_grammar",
                           "json_schema",
                           "regex",
                           "ebnf",
                           "grammar"}) {
    const Json* given = any_field(body, name);
    if (given == nullptr) {
      continue;
    }
    const std::string_view field = name;
    auto one = field == "response_format"      ? read_response_format(*given, name)
               : field == "structured_outputs" ? read_structured(*given)
                                               : read_member(name, *given, name);
    TUTTI_TRY(Form made, std::move(one));
    if (made.has_value() && form.has_value()) {
      return field_error(name, fmt::format("{} is there too; send one of them", form->field));
    }
    if (made.has_value()) {
      form = std::move(made);
    }
  }
  const auto space = string_field(body, "guided_whitespace_pattern");
  if (space.has_value() && form.has_value()) {
    form->options.space = *space;
  }
  return form;
}

}  // namespace tutti
