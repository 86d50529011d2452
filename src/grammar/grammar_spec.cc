#include "grammar/grammar_spec.h"

#include "grammar/gbnf.h"
#include "grammar/pattern.h"

namespace tutti::grammar {

namespace {

constexpr size_t kMaxTextBytes = size_t{256} << 10U;
constexpr size_t kMaxChoiceBytes = size_t{1} << 20U;

Result<NodeId> add(const GrammarSpec& spec, Syntax& out) {
  using Kind = GrammarSpec::Kind;
  if (spec.text.size() > kMaxTextBytes) {
    return invalid("got {} bytes, wanted at most {}", spec.text.size(), kMaxTextBytes);
  }
  switch (spec.kind) {
    case Kind::kJsonObject:
      return add_json_schema(Json::object({{"type", "object"}}), spec.options, out);
    case Kind::kJsonSchema:
      return add_json_schema(*spec.schema, spec.options, out);
    case Kind::kPattern: {
      TUTTI_TRY(
          const ExprId expr,
          compile_pattern(
              out.pool(), spec.text, PatternUse::kWhole, Writing::kPlain, RegexPool::kNothing));
      return out.terminal(expr);
    }
    case Kind::kChoice: {
      size_t bytes = 0;
      for (const std::string& choice : spec.choices) {
        bytes += choice.size();
      }
      if (bytes > kMaxChoiceBytes) {
        return invalid("got {} bytes of choices, wanted at most {}", bytes, kMaxChoiceBytes);
      }
      return out.terminal(out.pool().any_of({spec.choices.begin(), spec.choices.end()}));
    }
    case Kind::kGbnf:
      TUTTI_RETURN_IF_ERROR(compile_gbnf(spec.text, out));
      return out.root();
  }
  return invalid("no such kind of grammar");
}

}  // namespace

std::string GrammarSpec::key() const {
  std::string out =
      fmt::format("{} {} {} ", static_cast<int>(kind), options.any_order, options.closed);
  const auto add = [&](std::string_view part) { out += fmt::format("{}:{} ", part.size(), part); };
  add(options.space.value_or("-"));
  add(text);
  add(schema == nullptr ? "" : to_string(*schema));
  for (const std::string& choice : choices) {
    add(choice);
  }
  return out;
}

Result<NodeId> add_spec(const GrammarSpec& spec, Syntax& out) {
  auto node = add(spec, out);
  if (!node.ok()) {
    return error(node.status().code(), "{}: {}", spec.field, node.status().message())
        .with_param(spec.field);
  }
  return node;
}

}  // namespace tutti::grammar
