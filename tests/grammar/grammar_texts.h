// Grammars and the texts they have, for tests.
#pragma once
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/compiled_grammar.h"
#include "grammar/grammar_spec.h"

namespace tutti::grammar {

/// Ids 0 to 255 are the bytes, then come `more`, then an end token without text.
inline std::vector<std::string> byte_texts(const std::vector<std::string>& more = {}) {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) {
    texts.emplace_back(1, static_cast<char>(byte));
  }
  texts.insert(texts.end(), more.begin(), more.end());
  texts.emplace_back();
  return texts;
}

inline Result<std::shared_ptr<GrammarCore>> core_of(const GrammarSpec& spec,
                                                    const std::vector<std::string>& tokens = {}) {
  Syntax syntax;
  TUTTI_TRY(const NodeId root, add_spec(spec, syntax));
  syntax.set_root(root);
  return make_core(std::move(syntax), std::make_shared<const Vocabulary>(byte_texts(tokens)));
}

inline GrammarSpec schema_spec(std::string_view schema, SchemaOptions options = {}) {
  return {.kind = GrammarSpec::Kind::kJsonSchema,
          .schema = std::make_shared<const Json>(*parse_json(schema)),
          .options = std::move(options),
          .field = "schema"};
}

inline GrammarSpec text_spec(GrammarSpec::Kind kind, std::string text) {
  return {.kind = kind, .text = std::move(text), .field = "grammar"};
}

/// A text of the grammar, drawn token by token from its masks; empty if it does not end within
/// `most` tokens. Ends as soon as it may with a chance of one in four.
inline std::string draw(const TokenGrammar& grammar,
                        const std::vector<std::string>& texts,
                        std::mt19937& random,
                        size_t most = 400) {
  const auto state = grammar.start();
  const auto end = static_cast<int32_t>(texts.size() - 1);
  std::string out;
  for (size_t i = 0; i < most; ++i) {
    std::vector<uint32_t> mask((texts.size() + 31) / 32);
    state->fill_mask(mask);
    std::vector<int32_t> allowed;
    for (int32_t id = 0; id <= end; ++id) {
      if ((mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1U) != 0) {
        allowed.push_back(id);
      }
    }
    if (allowed.empty()) {
      return "<no token may come>" + out;
    }
    const bool may_end = allowed.back() == end;
    if (may_end && (allowed.size() == 1 || random() % 4 == 0)) {
      return out;
    }
    const size_t count = allowed.size() - (may_end ? 1 : 0);
    const int32_t token = allowed[random() % count];
    if (!state->accept(token)) {
      return "<refused after its mask allowed it>" + out;
    }
    out += texts[static_cast<size_t>(token)];
  }
  return {};
}

}  // namespace tutti::grammar
