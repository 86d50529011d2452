// Filters by family; filters.cc holds the one table of names.
#pragma once
#include "jinja/interpreter.h"

namespace tutti::jinja::filters {

// Text (filters_text.cc).
Value string(Interpreter& in, const Value& input, CallArgs& args);
Value upper(Interpreter& in, const Value& input, CallArgs& args);
Value lower(Interpreter& in, const Value& input, CallArgs& args);
Value title(Interpreter& in, const Value& input, CallArgs& args);
Value capitalize(Interpreter& in, const Value& input, CallArgs& args);
Value trim(Interpreter& in, const Value& input, CallArgs& args);
Value replace_text(Interpreter& in, const Value& input, CallArgs& args);
Value indent(Interpreter& in, const Value& input, CallArgs& args);
Value center(Interpreter& in, const Value& input, CallArgs& args);
Value escape(Interpreter& in, const Value& input, CallArgs& args);
Value format(Interpreter& in, const Value& input, CallArgs& args);
Value truncate(Interpreter& in, const Value& input, CallArgs& args);
Value word_count(Interpreter& in, const Value& input, CallArgs& args);
Value to_json_text(Interpreter& in, const Value& input, CallArgs& args);
Value from_json(Interpreter& in, const Value& input, CallArgs& args);

// Sequences (filters_list.cc).
Value length(Interpreter& in, const Value& input, CallArgs& args);
Value first(Interpreter& in, const Value& input, CallArgs& args);
Value last(Interpreter& in, const Value& input, CallArgs& args);
Value to_list(Interpreter& in, const Value& input, CallArgs& args);
Value items(Interpreter& in, const Value& input, CallArgs& args);
Value join(Interpreter& in, const Value& input, CallArgs& args);
Value map(Interpreter& in, const Value& input, CallArgs& args);
Value select(Interpreter& in, const Value& input, CallArgs& args);
Value reject(Interpreter& in, const Value& input, CallArgs& args);
Value select_attr(Interpreter& in, const Value& input, CallArgs& args);
Value reject_attr(Interpreter& in, const Value& input, CallArgs& args);
Value reverse(Interpreter& in, const Value& input, CallArgs& args);
Value batch(Interpreter& in, const Value& input, CallArgs& args);
Value slice(Interpreter& in, const Value& input, CallArgs& args);
Value attribute(Interpreter& in, const Value& input, CallArgs& args);

// Order and numbers (filters_order.cc).
Value sort(Interpreter& in, const Value& input, CallArgs& args);
Value dict_sort(Interpreter& in, const Value& input, CallArgs& args);
Value unique(Interpreter& in, const Value& input, CallArgs& args);
Value group_by(Interpreter& in, const Value& input, CallArgs& args);
Value minimum(Interpreter& in, const Value& input, CallArgs& args);
Value maximum(Interpreter& in, const Value& input, CallArgs& args);
Value sum(Interpreter& in, const Value& input, CallArgs& args);
Value absolute(Interpreter& in, const Value& input, CallArgs& args);
Value round_number(Interpreter& in, const Value& input, CallArgs& args);
Value to_int(Interpreter& in, const Value& input, CallArgs& args);
Value to_float(Interpreter& in, const Value& input, CallArgs& args);

/// An attribute path: "name", "a.b", "items.0" or an integer.
class AttributePath {
 public:
  explicit AttributePath(const Value& path, Budget& budget);
  Value of(Interpreter& in, Value item, const Value* fallback = nullptr) const;

 private:
  std::vector<Value> parts_;
};

}  // namespace tutti::jinja::filters
