#include "engine/constrain.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "grammar/compiled_grammar.h"
#include "text/tool_calls.h"

namespace tutti {
namespace {

// Bytes, then the marks of all families as special tokens, then an end.
class ByteText final : public TokenText {
 public:
  static std::vector<std::string> marks() {
    std::vector<std::string> out{"</think>"};
    for (const char* grammar : {"kimi_k2", "deepseek_v3"}) {
      const ToolCallMarkup& one = *tool_call_markup(grammar);
      for (const auto* mark : {&one.section_open,
                               &one.section_close,
                               &one.call_open,
                               &one.call_close,
                               &one.type_end}) {
        if (!mark->empty()) {
          out.push_back(*mark);
        }
      }
    }
    out.push_back(tool_call_markup("kimi_k2")->name_end);
    out.emplace_back("<end>");
    return out;
  }

  std::unique_ptr<TextStream> open(bool /*skip*/) const override { return nullptr; }

  std::string token_bytes(int32_t token) const override {
    return token < 256 ? std::string(1, static_cast<char>(token))
                       : marks_[static_cast<size_t>(token) - 256];
  }

  bool is_special(int32_t token) const override { return token >= 256; }

  Result<std::vector<int32_t>> encode(std::string_view /*text*/) const override {
    return std::vector<int32_t>();
  }

  int32_t size() const { return 256 + static_cast<int32_t>(marks_.size()); }

 private:
  const std::vector<std::string> marks_ = marks();
};

struct World {
  std::shared_ptr<ByteText> text = std::make_shared<ByteText>();
  int32_t end = text->size() - 1;
  Constrainer constrainer{text, text->size(), {end}};
  std::mt19937 random{13};

  // An output drawn from the masks, short where it can be; empty if it does not end.
  std::string draw(const TokenGrammar& grammar) {
    const auto state = grammar.start();
    std::string out;
    for (int i = 0; i < 3000; ++i) {
      std::vector<uint32_t> mask((static_cast<size_t>(end) + 32) / 32);
      state->fill_mask(mask);
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id <= end; ++id) {
        if ((mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1U) != 0) {
          allowed.push_back(id);
        }
      }
      if (allowed.empty()) {
        return "<stuck>" + out;
      }
      if (allowed.back() == end && (allowed.size() == 1 || random() % 3 == 0)) {
        return out;
      }
      int32_t token = allowed[random() % (allowed.size() - (allowed.back() == end ? 1 : 0))];
      // Strings and numbers end now and then, and stay printable.
      for (const int32_t liked : {'"', '}', ']', '<'}) {
        if (random() % 4 == 0 &&
            std::ranges::find(allowed, static_cast<int32_t>(liked)) != allowed.end()) {
          token = liked;
        }
      }
      EXPECT_TRUE(state->accept(token));
      out += text->token_bytes(token);
    }
    return {};
  }
};

std::shared_ptr<const Json> tools() {
  return std::make_shared<const Json>(*parse_json(R"([
    {"type":"function","function":{"name":"weather","strict":true,"parameters":{"type":"object","properties":{
      "city":{"type":"string"},"days":{"type":"integer","minimum":1,"maximum":9},"unit":{"enum":["C","F"]}},
      "required":["city","days"]}}},
    {"type":"function","function":{"name":"now"}}])"));
}

void expect_weather(const std::string& arguments) {
  const auto parsed = parse_json(arguments);
  ASSERT_TRUE(parsed.ok()) << arguments;
  ASSERT_NE(parsed->find("city"), nullptr) << arguments;
  EXPECT_TRUE(parsed->find("city")->is_string());
  ASSERT_NE(parsed->find("days"), nullptr) << arguments;
  EXPECT_TRUE(parsed->find("days")->is_int());
  EXPECT_GE(parsed->find("days")->as_int(), 1);
  EXPECT_LE(parsed->find("days")->as_int(), 9);
  for (const JsonMember& member : parsed->as_object()) {
    EXPECT_TRUE(member.key == "city" || member.key == "days" || member.key == "unit") << arguments;
  }
}

constexpr const char* kFamilies[] = {
    "minimax_m2", "kimi_k2", "deepseek_v3", "deepseek_v31", "qwen3_coder", "hermes", "llama3_json"};

// What the grammar lets out, the parser of the same family reads as valid calls and nothing else.
TEST(Constrain, RequiredCallsAreValidInEveryFamily) {
  for (const char* family : kFamilies) {
    World world;
    const OutputForm form{.calls = tool_call_markup(family), .tools = tools()};
    const auto grammar = world.constrainer.grammar_of({.calls_required = true}, form, {});
    ASSERT_TRUE(grammar.ok()) << family << ": " << grammar.status().message();
    int ended = 0;
    for (int i = 0; i < 40; ++i) {
      const std::string text = world.draw(**grammar);
      if (text.empty()) {
        continue;
      }
      ++ended;
      ToolCallParser parser(*form.calls, form.tools.get());
      ToolCallPiece all = parser.push(text);
      const ToolCallPiece last = parser.finish();
      all.content += last.content;
      all.calls.insert(all.calls.end(), last.calls.begin(), last.calls.end());
      EXPECT_EQ(all.content, "") << family << ": " << text;
      ASSERT_FALSE(all.calls.empty()) << family << ": " << text;
      for (const ToolCall& call : all.calls) {
        ASSERT_TRUE(call.name == "weather" || call.name == "now") << text;
        if (call.name == "weather") {
          expect_weather(call.arguments);
        }
      }
    }
    EXPECT_GT(ended, 5) << family;
  }
}

TEST(Constrain, ANamedToolIsCalledOnce) {
  for (const char* family : kFamilies) {
    World world;
    const auto all = tools();
    const OutputForm form{.calls = tool_call_markup(family), .tools = all, .one_call = true};
    const auto one = std::make_shared<const Json>(JsonArray{all->as_array()[0]});
    const auto grammar =
        world.constrainer.grammar_of({.calls_required = true, .callable = one}, form, {});
    ASSERT_TRUE(grammar.ok());
    for (int i = 0; i < 10; ++i) {
      const std::string text = world.draw(**grammar);
      ToolCallParser parser(*form.calls, form.tools.get());
      ToolCallPiece piece = parser.push(text);
      const ToolCallPiece last = parser.finish();
      piece.calls.insert(piece.calls.end(), last.calls.begin(), last.calls.end());
      if (!text.empty()) {
        ASSERT_EQ(piece.calls.size(), 1U) << family << ": " << text;
        EXPECT_EQ(piece.calls[0].name, "weather");
      }
    }
  }
}

// Text is free, but what begins as a call is a valid one.
TEST(Constrain, StrictToolsBindOnlyCalls) {
  World world;
  const OutputForm form{.calls = tool_call_markup("hermes"), .tools = tools()};
  const auto grammar = world.constrainer.grammar_of({.strict_calls = true}, form, {});
  ASSERT_TRUE(grammar.ok()) << grammar.status().message();
  const auto reads = [&](std::string_view text) {
    const auto state = (*grammar)->start();
    for (const char c : text) {
      std::vector<uint32_t> mask((static_cast<size_t>(world.end) + 32) / 32);
      state->fill_mask(mask);
      const auto id = static_cast<unsigned char>(c);
      if ((mask[id / 32U] >> (id % 32U) & 1U) == 0 || !state->accept(id)) {
        return false;
      }
    }
    return true;
  };
  EXPECT_TRUE(reads("It is <b>warm</b>. "));
  EXPECT_TRUE(
      reads("Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\", "
            "\"days\": 3}}\n</tool_call>"));
  EXPECT_FALSE(reads("<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"days"));
  EXPECT_FALSE(reads("<tool_call>\n{\"name\": \"other"));
}

TEST(Constrain, AnAnswersFormHoldsBesideTools) {
  World world;
  const OutputForm form{.calls = tool_call_markup("hermes"), .tools = tools()};
  OutputWish wish;
  wish.answer = grammar::GrammarSpec{
      .kind = grammar::GrammarSpec::Kind::kPattern, .text = "yes|no", .field = "guided_regex"};
  const auto grammar = world.constrainer.grammar_of(wish, form, {});
  ASSERT_TRUE(grammar.ok());
  for (int i = 0; i < 20; ++i) {
    const std::string text = world.draw(**grammar);
    EXPECT_TRUE(text.empty() || text == "yes" || text == "no" || text.starts_with("<tool_call>"))
        << text;
  }
}

TEST(Constrain, ReasoningComesFirst) {
  World world;
  static const ReasoningMarkup kThink{.open = "<think>", .close = "</think>", .implicit_close = {}};
  OutputWish wish;
  wish.answer = grammar::GrammarSpec{
      .kind = grammar::GrammarSpec::Kind::kChoice, .choices = {"a", "b"}, .field = "guided_choice"};
  const auto opened =
      world.constrainer.grammar_of(wish, {.reasoning = &kThink, .reasoning_open = true}, {});
  ASSERT_TRUE(opened.ok());
  const auto state = (*opened)->start();
  for (const char c : std::string_view("hm, a?")) {
    EXPECT_TRUE(state->accept(c));
  }
  EXPECT_TRUE(state->accept(256));  // </think>, a special token here
  std::vector<uint32_t> mask((static_cast<size_t>(world.end) + 32) / 32);
  state->fill_mask(mask);
  EXPECT_EQ(mask['x' / 32] >> ('x' % 32) & 1U, 0U);
  EXPECT_EQ(mask['a' / 32] >> ('a' % 32) & 1U, 1U);
  const auto closed =
      world.constrainer.grammar_of(wish, {.reasoning = &kThink, .reasoning_closed = true}, {});
  EXPECT_FALSE((*closed)->start()->accept('h'));
}

// generation_config.json may name end ids beyond the vocabulary.
TEST(Constrain, EndIdsWithoutARowAreNoBitsOfTheMask) {
  auto text = std::make_shared<ByteText>();
  Constrainer constrainer(text, text->size(), {text->size() - 1, 1 << 20});
  OutputWish wish;
  wish.answer = grammar::GrammarSpec{
      .kind = grammar::GrammarSpec::Kind::kChoice, .choices = {"a"}, .field = "guided_choice"};
  const auto made = constrainer.grammar_of(wish, {}, {});
  ASSERT_TRUE(made.ok());
  const auto state = (*made)->start();
  ASSERT_TRUE(state->accept('a'));
  std::vector<uint32_t> mask((static_cast<size_t>(text->size()) + 31) / 32);
  state->fill_mask(mask);
  const auto end = static_cast<size_t>(text->size() - 1);
  EXPECT_EQ(mask[end / 32] >> (end % 32) & 1U, 1U);
}

TEST(Constrain, SchemasOfStrictToolsMustBeEnforceable) {
  World world;
  const auto bad = std::make_shared<const Json>(*parse_json(
      R"([{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object",
         "properties":{"a":{"type":"array","uniqueItems":true}}}}}])"));
  const OutputForm form{.calls = tool_call_markup("hermes"), .tools = bad};
  const auto strict = world.constrainer.grammar_of({.strict_calls = true}, form, {});
  ASSERT_FALSE(strict.ok());
  EXPECT_EQ(strict.status().param(), "tools[0].function.parameters");
  EXPECT_NE(strict.status().message().find("uniqueItems"), std::string::npos);
}

}  // namespace
}  // namespace tutti
