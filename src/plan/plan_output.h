// A plan as JSON, for programs, and as a table, for people. The JSON is a promise: its fields are
// in docs/planning.md, and are only added to.
#pragma once
#include <string>

#include "base/json.h"
#include "plan/plan.h"

namespace tutti {

Json plan_json(const ModelFacts& model, const ModelShape& shape, const Plan& plan);

/// Several lines, ending with a line break.
std::string plan_table(const ModelFacts& model, const ModelShape& shape, const Plan& plan);

/// "cuda:4-7 left out: the model cannot be split ..."; empty: every GPU is used.
std::string left_out_text(const Plan& plan);

/// One paragraph for the log of a server: what is used, what is left out and why.
std::string plan_paragraph(const Plan& plan);

}  // namespace tutti
