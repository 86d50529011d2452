// A chat template in the Jinja subset that Hugging Face models use, rendered to spans that tell
// template text from content. Language and white space follow Jinja2 3.1 in transformers'
// configuration (ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loop controls,
// {% generation %}, tojson = json.dumps without HTML escapes). No file, import or attribute of the
// host can be reached. Parsed templates are immutable and may be rendered by several threads.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "jinja/budget.h"
#include "jinja/spans.h"
#include "jinja/value.h"

namespace tutti::jinja {

struct Program;

/// Builds the variables of one rendering. Borrowed Json must outlive the rendering.
class Globals {
 public:
  explicit Globals(Budget& budget) : budget_(budget) {}

  void set(std::string name, Value value) {
    values_.emplace_back(std::move(name), std::move(value));
  }

  Budget& budget() { return budget_; }

  const std::vector<std::pair<std::string, Value>>& values() const { return values_; }

 private:
  Budget& budget_;
  std::vector<std::pair<std::string, Value>> values_;
};

class Template {
 public:
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  /// Errors: kInvalidArgument with the line, kPayloadTooLarge for a source over the limit.
  static Result<Template> parse(std::string_view source, const Limits& limits = {});

  /// True if the source mentions the variable `name`.
  bool reads(std::string_view name) const;

  /// True if a for statement goes through a variable, attribute or item called `sequence` and reads
  /// `attribute` of what it finds, as in {% for part in message.content %}{{ part.text }}.
  bool loop_reads(std::string_view sequence, std::string_view attribute) const;

  /// Renders with the members of `variables` as content. `now_unix`: what strftime_now() prints
  /// (UTC). Errors: kInvalidArgument with the line; the bare message of raise_exception().
  Result<std::vector<TemplateSpan>> render(const JsonObject& variables, int64_t now_unix = 0) const;

  /// The same with variables that `fill(globals) -> Status` sets; it may throw TemplateError. The
  /// values are gone when this returns.
  template <class Fill>
  Result<std::vector<TemplateSpan>> render_with(int64_t now_unix, Fill&& fill) const {
    Budget budget(limits_);
    Globals globals(budget);
    try {
      TUTTI_RETURN_IF_ERROR(fill(globals));
    } catch (const TemplateError& error) {
      return to_status(error);
    }
    return run(globals, now_unix);
  }

 private:
  Template(std::unique_ptr<const Program> program, const Limits& limits);

  Result<std::vector<TemplateSpan>> run(Globals& globals, int64_t now_unix) const;
  static Status to_status(const TemplateError& error);

  std::unique_ptr<const Program> program_;
  Limits limits_;
};

}  // namespace tutti::jinja
