// JSON documents as template values.
#pragma once
#include "base/json.h"
#include "jinja/value.h"

namespace tutti::jinja {

/// The value of `json` with every string marked `origin`. Strings are not copied: `json` must
/// outlive the value. Throws TemplateError if it is nested too deep.
Value borrow_json(const Json& json, TextOrigin origin, Budget& budget);

/// The same with copied strings that count against the budget.
Value copy_json(const Json& json, TextOrigin origin, Budget& budget);

/// Budget::grant() for all of `json`, which is part of the input.
void grant_steps_for(const Json& json, Budget& budget);

}  // namespace tutti::jinja
