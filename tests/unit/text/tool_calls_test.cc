#include "text/tool_calls.h"

#include <random>

#include <gtest/gtest.h>

#include "base/file.h"

namespace tutti {
namespace {

struct Parsed {
  std::string content;
  std::vector<ToolCall> calls;

  bool operator==(const Parsed&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Parsed& parsed) {
  out << '"' << parsed.content << '"';
  for (const ToolCall& call : parsed.calls) {
    out << " [" << call.id << "] " << call.name << "(" << call.arguments << ")";
  }
  return out;
}

Json tools() {
  return *parse_json(
      R"([{"type": "function", "function": {"name": "f", "parameters": {"properties": {
    "s": {"type": "string"}, "i": {"type": "integer"}, "n": {"type": ["number", "null"]}, "b": {"type": "boolean"},
    "l": {"type": "array"}, "o": {"anyOf": [{"type": "object"}, {"type": "string"}]},
    "e": {"enum": ["1", "x"]}}}}}])");
}

/// Parses `text` in the pieces that end at `cuts`.
Parsed parse(const std::string& grammar, const std::string& text, const std::vector<size_t>& cuts) {
  const Json declared = tools();
  ToolCallParser parser(*tool_call_markup(grammar), &declared);
  Parsed all;
  const auto add = [&](ToolCallPiece piece) {
    all.content += piece.content;
    all.calls.insert(all.calls.end(), piece.calls.begin(), piece.calls.end());
  };
  size_t begin = 0;
  for (const size_t cut : cuts) {
    add(parser.push(std::string_view(text).substr(begin, cut - begin)));
    begin = cut;
  }
  add(parser.push(std::string_view(text).substr(begin)));
  add(parser.finish());
  EXPECT_EQ(parser.calls(), static_cast<int64_t>(all.calls.size()));
  return all;
}

struct Case {
  const char* grammar;
  std::string text;
  Parsed expected;
};

const std::string kV3Call = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n";
const std::string kV3End = "\n```<｜tool▁call▁end｜>";

std::vector<Case> cases() {
  return {
      {"hermes", "Hi", {"Hi", {}}},
      {"hermes", "", {"", {}}},
      {"hermes", "a <tool b> <tool_call", {"a <tool b> <tool_call", {}}},
      {"hermes", "ends in space \n\n", {"ends in space \n\n", {}}},
      {"hermes",
       "Let me see.\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\":  \"</tool>\", \"x\": "
       "1.0}}\n</tool_call>",
       {"Let me see.", {{"", "f", R"({"s":  "</tool>", "x": 1.0})"}}}},
      {"hermes",
       "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n<tool_call>\n{\"arguments\": "
       "{\"a\": [1, {\"}\": "
       "\"\\\"]\"}]}, \"name\": \"g\"}\n</tool_call>\n",
       {"", {{"", "f", "{}"}, {"", "g", R"({"a": [1, {"}": "\"]"}]})"}}}},
      {"hermes",
       "<tool_call>\n{\"name\": \"f\"}",
       {"", {{"", "f", "{}"}}}},  // the output ended early
      {"hermes",
       "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call> after",
       {"after", {{"", "f", "{\"a\": 1}"}}}},
      {"hermes",
       "<tool_call>{\"name\": \"f\", </tool_call> x",
       {"<tool_call>{\"name\": \"f\", </tool_call> x", {}}},
      {"hermes", "<tool_call>[1]</tool_call>", {"<tool_call>[1]</tool_call>", {}}},
      {"hermes", "<tool_call>{\"name\": \"f\", \"arg", {"<tool_call>{\"name\": \"f\", \"arg", {}}},
      {"llama3_json",
       " {\"name\": \"f\", \"parameters\": {\"a\": \"b;c\"}}; {\"name\": \"f\", \"parameters\": "
       "{}} \n",
       {"", {{"", "f", "{\"a\": \"b;c\"}"}, {"", "f", "{}"}}}},
      {"llama3_json",
       "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}",
       {"", {{"", "f", "{}"}}}},
      {"llama3_json", "{\"answer\": 42}", {"{\"answer\": 42}", {}}},
      {"llama3_json", "<|pyth", {"<|pyth", {}}},
      {"llama3_json", "No {\"name\": \"f\"}", {"No {\"name\": \"f\"}", {}}},
      {"deepseek_v3",
       "Text\n<｜tool▁calls▁begin｜>" + kV3Call + "{\"a\": \"```\"}" + kV3End + "\n" + kV3Call +
           "{}" + kV3End + "<｜tool▁calls▁end｜>",
       {"Text", {{"", "f", "{\"a\": \"```\"}"}, {"", "f", "{}"}}}},
      {"deepseek_v3",
       "<｜tool▁calls▁begin｜>" + kV3Call + "not json" + kV3End,
       {"<｜tool▁calls▁begin｜>" + kV3Call + "not json" + kV3End, {}}},
      // What is no call is text to the byte, with the marks and the space around them.
      {"deepseek_v3",
       "a \n<｜tool▁calls▁begin｜>\n" + kV3Call + "not json" + kV3End +
           " \n<｜tool▁calls▁end｜>\n b ",
       {"a \n<｜tool▁calls▁begin｜>\n" + kV3Call + "not json" + kV3End +
            " \n<｜tool▁calls▁end｜>\n b ",
        {}}},
      {"deepseek_v3",
       "a <｜tool▁calls▁begin｜> <｜tool▁calls▁end｜> b",
       {"a <｜tool▁calls▁begin｜> <｜tool▁calls▁end｜> b", {}}},
      {"kimi_k2", " <|tool_calls_section_begin|> \n", {" <|tool_calls_section_begin|> \n", {}}},
      {"hermes",
       " a \n<tool_call> {\"x\": 1} </tool_call>\n b\n",
       {" a \n<tool_call> {\"x\": 1} </tool_call>\n b\n", {}}},
      // Marks inside JSON strings are data.
      {"hermes",
       "<tool_call>{\"name\":\"f\",\"arguments\":{\"text\":\"Close it with </tool_call> and "
       "\\\"<tool_call>\\\" go\\\\\"}}</tool_call>",
       {"",
        {{"", "f", "{\"text\":\"Close it with </tool_call> and \\\"<tool_call>\\\" go\\\\\"}"}}}},
      {"kimi_k2",
       "<|tool_calls_section_begin|><|tool_call_begin|>f:0<|tool_call_argument_begin|>{\"s\": \"a "
       "<|tool_call_end|><|tool_calls_section_end|> "
       "b\"}<|tool_call_end|><|tool_calls_section_end|>c",
       {"c", {{"f:0", "f", "{\"s\": \"a <|tool_call_end|><|tool_calls_section_end|> b\"}"}}}},
      {"deepseek_v31",
       "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"s\": \"<｜tool▁call▁end｜>\"}"
       "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
       {"", {{"", "f", "{\"s\": \"<｜tool▁call▁end｜>\"}"}}}},
      {"deepseek_v3",
       "<｜tool▁calls▁begin｜>" + kV3Call + "{\"s\": \"\\n```<｜tool▁call▁end｜>\"}" + kV3End +
           "<｜tool▁calls▁end｜>",
       {"", {{"", "f", "{\"s\": \"\\n```<｜tool▁call▁end｜>\"}"}}}},
      // A string without end hides nothing from what follows.
      {"hermes",
       "<tool_call>{\"name: \"f\"}</tool_call> x <tool_call>{\"name\": \"f\"}</tool_call>",
       {"<tool_call>{\"name: \"f\"}</tool_call> x", {{"", "f", "{}"}}}},
      {"hermes",
       "<tool_call>{\"name\": \"f\", \"arguments\": {\"s\": \"cut </tool_call> off",
       {"<tool_call>{\"name\": \"f\", \"arguments\": {\"s\": \"cut </tool_call> off", {}}},
      // Without marks only what can be nothing else is a call.
      {"llama3_json",
       "\n {\"name\": \"Alice\", \"age\": 30} \n",
       {"\n {\"name\": \"Alice\", \"age\": 30} \n", {}}},
      {"llama3_json", "{\"name\": \"f\", \"age\": 30}", {"{\"name\": \"f\", \"age\": 30}", {}}},
      {"llama3_json",
       " {\"name\": \"g\", \"parameters\": {}}",
       {" {\"name\": \"g\", \"parameters\": {}}", {}}},
      {"llama3_json",
       "{\"name\": \"f\", \"parameters\": {}}\n is it ",
       {"{\"name\": \"f\", \"parameters\": {}}\n is it ", {}}},
      {"llama3_json", " {\"name\": \"f\", \"arguments\": {}}\n", {"", {{"", "f", "{}"}}}},
      {"llama3_json", "<|python_tag|>{\"name\": \"g\"}", {"", {{"", "g", "{}"}}}},
      {"deepseek_v31",
       "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": "
       "1}<｜tool▁call▁end｜><｜tool▁call▁begin｜>g"
       "<｜tool▁sep｜><｜tool▁call▁end｜><｜tool▁calls▁end｜>",
       {"", {{"", "f", "{\"a\": 1}"}, {"", "g", "{}"}}}},
      {"kimi_k2",
       "So: "
       "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_"
       "begin|>"
       "{\"city\": \"Paris\"}<|tool_call_end|><|tool_call_begin|>a.b:12 "
       "<|tool_call_argument_begin|>{}"
       "<|tool_call_end|><|tool_calls_section_end|>",
       {"So:",
        {{"functions.get_weather:0", "get_weather", "{\"city\": \"Paris\"}"},
         {"a.b:12", "a.b", "{}"}}}},
      {"minimax_m2",
       "\n<minimax:tool_call>\n<invoke name=\"f\">\n<parameter "
       "name=\"s\">12</parameter>\n<parameter name=\"i\"> 3 "
       "</parameter>\n<parameter name=n>null</parameter><parameter name=\"b\">True</parameter>"
       "<parameter name=\"l\">[1, \"z\"]</parameter><parameter name=\"o\">{\"k\": 1}</parameter>"
       "<parameter name=\"e\">1</parameter></invoke>\n<invoke name='g'><parameter name=\"q\">x "
       "\"y\" é</parameter>"
       "<parameter name=\"r\">2.50</parameter></invoke>\n</minimax:tool_call>\nbye",
       {"bye",
        {{"",
          "f",
          R"({"s": "12", "i": 3, "n": null, "b": true, "l": [1, "z"], "o": {"k": 1}, "e": "1"})"},
         {"", "g", R"({"q": "x \"y\" é", "r": 2.50})"}}}},
      {"minimax_m2",
       "<minimax:tool_call><invoke name=\"f\"><parameter name=\"s\">x</invoke>",
       {"<minimax:tool_call><invoke name=\"f\"><parameter name=\"s\">x</invoke>", {}}},
      // Strings are data, with their white space; other values are not.
      {"minimax_m2",
       "<minimax:tool_call><invoke name=\"f\"><parameter name=\"s\">    return 1\n</parameter>"
       "<parameter name=\"i\">\n 3\n</parameter><parameter name=\"o\"> x </parameter>"
       "<parameter name=\"b\"> True </parameter><parameter name=\"q\">\ty\n</parameter>"
       "<parameter name=\"e\"> null</parameter></invoke></minimax:tool_call>",
       {"",
        {{"",
          "f",
          R"({"s": "    return 1\n", "i": 3, "o": " x ", "b": true, "q": "\ty\n", "e": " null"})"}}}},
      // As the template of Qwen3-Coder writes them: the line ends around a value are not its own.
      {"qwen3_coder",
       "I look.\n<tool_call>\n<function=f>\n<parameter=s>\n    return 1\n\n</parameter>\n"
       "<parameter=i>\n3\n</parameter>\n<parameter=b>\nTrue\n</parameter>\n</function>\n"
       "</tool_call>\n<tool_call>\n<function=g>\n<parameter=q>\nx\n</parameter>\n</function>\n"
       "</tool_call>",
       {"I look.",
        {{"", "f", R"({"s": "    return 1\n", "i": 3, "b": true})"}, {"", "g", R"({"q": "x"})"}}}},
      {"qwen3_coder", "<tool_call><function=f></function></tool_call>", {"", {{"", "f", "{}"}}}},
      {"qwen3_coder",
       "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
       {"<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>", {}}},
  };
}

// Several families share a mark; what a template holds beside it decides.
TEST(ToolCalls, GrammarOfATemplate) {
  const auto grammar = [](const char* text) {
    const ToolCallMarkup* found = find_tool_call_markup(text);
    return found == nullptr ? std::string("none") : found->grammar;
  };
  EXPECT_EQ(grammar("<tool_call>\\n{\"name\": \"}\\n</tool_call>"), "hermes");
  EXPECT_EQ(grammar("<tool_call>\\n<function=' ~ name ~ '>\\n<parameter='"), "qwen3_coder");
  EXPECT_EQ(grammar("<tool_call>{{ name }}<arg_key>{{ k }}</arg_key>"), "none");
  EXPECT_EQ(grammar("<minimax:tool_call><invoke name="), "minimax_m2");
  EXPECT_EQ(grammar("plain"), "none");
}

TEST(ToolCalls, EveryGrammar) {
  for (const Case& c : cases()) {
    EXPECT_EQ(parse(c.grammar, c.text, {}), c.expected) << c.grammar << ": " << c.text;
  }
}

TEST(ToolCalls, PiecesDoNotMatter) {
  std::mt19937 random(7);
  for (const Case& c : cases()) {
    for (size_t cut = 0; cut <= c.text.size(); ++cut) {
      ASSERT_EQ(parse(c.grammar, c.text, {cut}), c.expected) << c.text << "\ncut at " << cut;
    }
    std::vector<size_t> every(c.text.size());
    for (size_t i = 0; i < every.size(); ++i) {
      every[i] = i;
    }
    ASSERT_EQ(parse(c.grammar, c.text, every), c.expected) << c.text << "\nbyte by byte";
    for (int round = 0; round < 50; ++round) {
      std::vector<size_t> cuts;
      for (size_t at = random() % 9; at < c.text.size(); at += 1 + random() % 9) {
        cuts.push_back(at);
      }
      ASSERT_EQ(parse(c.grammar, c.text, cuts), c.expected) << c.text << "\nround " << round;
    }
  }
}

// Random joins of marks and JSON: the same however they are cut, and nothing is lost but marks and
// white space around calls.
TEST(ToolCalls, RandomTextsDoNotDependOnPieces) {
  const std::vector<std::string> parts = {"<tool_call>",
                                          "</tool_call>",
                                          "<|tool_calls_section_begin|>",
                                          "<|tool_calls_section_end|>",
                                          "<|tool_call_begin|>",
                                          "<|tool_call_argument_begin|>",
                                          "<|tool_call_end|>",
                                          "<｜tool▁calls▁begin｜>",
                                          "<｜tool▁calls▁end｜>",
                                          kV3Call,
                                          kV3End,
                                          "<minimax:tool_call>",
                                          "</minimax:tool_call>",
                                          "<invoke name=\"f\">",
                                          "</invoke>",
                                          "<parameter name=\"s\">",
                                          "<function=f>",
                                          "</function>",
                                          "<parameter=s>",
                                          "</parameter>",
                                          "{\"name\": \"f\", \"arguments\": {\"s\": 1}}",
                                          "{}",
                                          "f:0",
                                          " ",
                                          "\n",
                                          "x",
                                          ";",
                                          "<",
                                          "|"};
  const unsigned seed = 20261125;
  std::mt19937 random(seed);
  int64_t calls = 0;
  for (const char* grammar : {"hermes",
                              "llama3_json",
                              "deepseek_v3",
                              "deepseek_v31",
                              "kimi_k2",
                              "minimax_m2",
                              "qwen3_coder"}) {
    for (int i = 0; i < 3000; ++i) {
      std::string text;
      for (size_t n = random() % 14; n > 0; --n) {
        text += parts[random() % parts.size()];
      }
      const Parsed whole = parse(grammar, text, {});
      calls += static_cast<int64_t>(whole.calls.size());
      std::vector<size_t> cuts;
      for (size_t at = random() % 7; at < text.size(); at += 1 + random() % 7) {
        cuts.push_back(at);
      }
      ASSERT_EQ(parse(grammar, text, cuts), whole) << grammar << ": " << text << " seed " << seed;
      for (const ToolCall& call : whole.calls) {
        const auto arguments = parse_json(call.arguments);
        ASSERT_TRUE(arguments.ok() && arguments->is_object()) << call.arguments;
      }
    }
  }
  EXPECT_GT(calls, 50);
}

TEST(ToolCalls, TextComesOutAsSoonAsItIsSure) {
  ToolCallParser parser(*tool_call_markup("hermes"), nullptr);
  EXPECT_EQ(parser.push("Hello <to").content, "Hello");
  EXPECT_EQ(parser.push("ol> and").content, " <tool> and");
  EXPECT_EQ(parser.push(" <tool_call>{\"name\": \"f\"}").content, "");
  EXPECT_EQ(parser.push("</tool_call>").calls.size(), 1U);
}

TEST(ToolCalls, LongArgumentsInManyPiecesAreFast) {
  ToolCallParser parser(*tool_call_markup("hermes"), nullptr);
  (void)parser.push("<tool_call>{\"name\": \"f\", \"arguments\": {\"s\": \"");
  for (int i = 0; i < 400'000; ++i) {
    (void)parser.push("word ");
  }
  EXPECT_EQ(parser.push("\"}}</tool_call>").calls.size(), 1U);
}

TEST(ToolCalls, TemplatesNameTheirGrammar) {
  const std::string folder = std::string(TUTTI_SOURCE_DIR) + "/tests/unit/text/jinja_templates/";
  const std::pair<const char*, const char*> families[] = {{"distill", "deepseek_v3"},
                                                          {"r1", "deepseek_v3"},
                                                          {"qwen3", "hermes"},
                                                          {"kimi", "kimi_k2"},
                                                          {"minimax", "minimax_m2"},
                                                          {"llama31", "llama3_json"}};
  for (const auto& [style, grammar] : families) {
    const ToolCallMarkup* markup =
        find_tool_call_markup(*read_file(folder + style + "_style.jinja"));
    ASSERT_NE(markup, nullptr) << style;
    EXPECT_EQ(markup->grammar, grammar);
  }
  EXPECT_EQ(find_tool_call_markup("plain {{ messages }}"), nullptr);
  EXPECT_EQ(find_tool_call_markup("'<｜tool▁calls▁begin｜>'")->grammar, "deepseek_v31");
  EXPECT_TRUE(tool_call_markup("kimi_k2")->is_mark("<|tool_call_argument_begin|>"));
  EXPECT_FALSE(tool_call_markup("kimi_k2")->is_mark("<|im_end|>"));
  EXPECT_FALSE(tool_call_markup("kimi_k2")->is_mark(""));
}

}  // namespace
}  // namespace tutti
