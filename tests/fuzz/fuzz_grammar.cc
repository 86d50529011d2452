// The first byte chooses what the rest is: a JSON schema, a pattern, or a GBNF grammar. Compiling
// ends within its bounds; if there is a grammar, a text drawn from its masks is read by it, and
// each mask is what reading the tokens says.
#include <cstdlib>
#include <ctime>

#include "grammar/grammar_texts.h"

namespace {

using namespace tutti;
using namespace tutti::grammar;

// What a request may cost: 100 ms in an ordinary build, which sanitizers slow down fifty times.
constexpr double kMaxSeconds = 5.0;

const std::vector<std::string>& texts() {
  static const std::vector<std::string> all = byte_texts({"{\"",
                                                          "\":",
                                                          "\",",
                                                          "\"}",
                                                          " \"",
                                                          "abc",
                                                          "name",
                                                          "12",
                                                          ".5",
                                                          "true",
                                                          "\n  ",
                                                          "\\n",
                                                          "\xC3\xA9",
                                                          "]}",
                                                          "a\"b"});
  return all;
}

// Follows one text; the bits of the mask are what accepting each token says.
void follow(GrammarCore& core, const TokenGrammar& grammar, uint32_t seed) {
  std::mt19937 random(seed);
  const auto state = grammar.start();
  std::string text;
  const auto end = static_cast<int32_t>(texts().size() - 1);
  for (int step = 0; step < 24; ++step) {
    std::vector<uint32_t> mask((texts().size() + 31) / 32);
    state->fill_mask(mask);
    std::vector<int32_t> allowed;
    for (int32_t id = 0; id < end; ++id) {
      if ((mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1U) != 0) {
        allowed.push_back(id);
      }
    }
    const bool may_end = (mask[static_cast<size_t>(end) / 32] >> (end % 32) & 1U) != 0;
    if (may_end && !matches(core, text)) {
      std::abort();
    }
    if (allowed.empty()) {
      return;
    }
    const int32_t token = allowed[random() % allowed.size()];
    if (!state->accept(token)) {
      std::abort();
    }
    text += texts()[static_cast<size_t>(token)];
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) {
    return 0;
  }
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::clock_t begin = std::clock();
  GrammarSpec spec{.field = "grammar"};
  switch (data[0] % 3) {
    case 0: {
      const auto schema = parse_json(text, {.max_depth = 100});
      if (!schema.ok()) {
        return 0;
      }
      spec.kind = GrammarSpec::Kind::kJsonSchema;
      spec.schema = std::make_shared<const Json>(*schema);
      spec.options.any_order = data[0] > 127;
      break;
    }
    case 1:
      spec.kind = GrammarSpec::Kind::kPattern;
      spec.text = text;
      break;
    default:
      spec.kind = GrammarSpec::Kind::kGbnf;
      spec.text = text;
  }
  const auto core = core_of(spec, {texts().begin() + 256, texts().end() - 1});
  if (core.ok()) {
    const auto grammar = make_token_grammar(*core, {static_cast<int32_t>(texts().size() - 1)});
    follow(**core, *grammar, data[1]);
  }
  if (static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC > kMaxSeconds) {
    std::abort();
  }
  return 0;
}
