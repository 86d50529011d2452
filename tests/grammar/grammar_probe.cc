// What a grammar says of texts, for oracles in other languages. One JSON object a line on standard
// input, one on standard output:
//
//   {"kind": "schema", "schema": …} or {"kind": "regex" or "gbnf", "text": …}, with
//   {"any_order", "closed": true}, {"texts": [texts to judge]}, {"draw": texts to draw, "seed": n}
//   → {"error": …, "unsupported": true or false} or {"matches": […], "drawn": […]}
#include <iostream>

#include "grammar_texts.h"

namespace {

using namespace tutti;
using namespace tutti::grammar;

bool flag(const Json& line, const char* name) {
  const Json* value = line.find(name);
  return value != nullptr && value->is_bool() && value->as_bool();
}

int64_t number(const Json& line, const char* name) {
  const Json* value = line.find(name);
  return value != nullptr && value->is_int() ? value->as_int() : 0;
}

Json answer(const Json& line) {
  GrammarSpec spec{.field = "grammar"};
  const std::string& kind = line.find("kind")->as_string();
  if (kind == "schema") {
    spec.kind = GrammarSpec::Kind::kJsonSchema;
    spec.schema = std::make_shared<const Json>(*line.find("schema"));
    spec.options = {.any_order = flag(line, "any_order"), .closed = flag(line, "closed")};
  } else {
    spec.kind = kind == "regex" ? GrammarSpec::Kind::kPattern : GrammarSpec::Kind::kGbnf;
    spec.text = line.find("text")->as_string();
  }
  const auto core = core_of(spec);
  if (!core.ok()) {
    return Json::object({{"error", core.status().message()},
                         {"unsupported", core.status().code() == StatusCode::kUnsupported}});
  }
  JsonArray judged;
  if (const Json* texts = line.find("texts")) {
    for (const Json& text : texts->as_array()) {
      judged.emplace_back(matches(**core, text.as_string()));
    }
  }
  const std::vector<std::string> tokens = byte_texts();
  const auto grammar = make_token_grammar(*core, {static_cast<int32_t>(tokens.size() - 1)});
  std::mt19937 random(static_cast<uint32_t>(number(line, "seed")));
  JsonArray drawn;
  for (int64_t i = 0; i < number(line, "draw"); ++i) {
    drawn.emplace_back(draw(*grammar, tokens, random, 600));
  }
  return Json::object({{"matches", Json(std::move(judged))}, {"drawn", Json(std::move(drawn))}});
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const auto parsed = parse_json(line);
    if (!parsed.ok()) {
      std::cerr << parsed.status().message() << '\n';
      return 64;
    }
    std::cout << to_string(answer(*parsed)) << std::endl;
  }
  return 0;
}
