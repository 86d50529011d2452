#include "jinja/template.h"

#include <algorithm>

#include "base/utf8.h"
#include "jinja/ast.h"
#include "jinja/interpreter.h"
#include "jinja/json_value.h"
#include "jinja/lexer.h"

namespace tutti::jinja {

Template::Template(std::unique_ptr<const Program> program, const Limits& limits)
    : program_(std::move(program)), limits_(limits) {}

Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Status Template::to_status(const TemplateError& error) {
  if (error.line == kRaisedByTemplate) {
    return Status(error.code, error.message).as_private();
  }
  return Status(error.code, fmt::format("chat template, line {}: {}", error.line, error.message))
      .as_private();
}

Result<Template> Template::parse(std::string_view source, const Limits& limits) {
  if (static_cast<int64_t>(source.size()) > limits.max_source_bytes) {
    return error(StatusCode::kPayloadTooLarge,
                 "chat template: {} bytes, the limit is {}",
                 source.size(),
                 limits.max_source_bytes);
  }
  if (!is_valid_utf8(source)) {
    return invalid("chat template: the source is not valid UTF-8");
  }
  try {
    return Template(parse_program(normalize_source(source), limits), limits);
  } catch (const TemplateError& error) {
    return to_status(error);
  }
}

bool Template::reads(std::string_view name) const {
  return std::find(program_->names.begin(), program_->names.end(), name) != program_->names.end();
}

bool Template::loop_reads(std::string_view sequence, std::string_view attribute) const {
  return tutti::jinja::loop_reads(*program_, sequence, attribute);
}

Result<std::vector<TemplateSpan>> Template::render(const JsonObject& variables,
                                                   int64_t now_unix) const {
  return render_with(now_unix, [&](Globals& globals) {
    for (const JsonMember& member : variables.members()) {
      grant_steps_for(member.value, globals.budget());
      globals.set(member.key, borrow_json(member.value, TextOrigin::kContent, globals.budget()));
    }
    return ok_status();
  });
}

Result<std::vector<TemplateSpan>> Template::run(Globals& globals, int64_t now_unix) const {
  try {
    return Interpreter(*program_, globals.budget(), now_unix).run(globals.values());
  } catch (const TemplateError& error) {
    return to_status(error);
  }
}

}  // namespace tutti::jinja
