#include "text/chat_template.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "text/reasoning.h"

namespace tutti {
namespace {

using testing::HasSubstr;

const std::string kTemplates = std::string(TUTTI_SOURCE_DIR) + "/tests/unit/text/jinja_templates/";

std::shared_ptr<const ChatTemplate> style(const std::string& name) {
  JsonObject tokens;
  tokens.set("bos_token", "<｜begin▁of▁sentence｜>");
  tokens.set("eos_token", "<｜end▁of▁sentence｜>");
  auto chat = ChatTemplate::parse(*read_file(kTemplates + name + "_style.jinja"), tokens);
  EXPECT_TRUE(chat.ok()) << chat.status().message();
  return *chat;
}

Result<RenderedPrompt> render(const ChatTemplate& chat, const std::string& messages) {
  return chat.render({.messages = *parse_json(messages)});
}

std::string text_of(const ChatTemplate& chat, const std::string& messages) {
  const auto prompt = render(chat, messages);
  return prompt.ok() ? prompt->joined() : "error: " + prompt.status().message();
}

const char* const kHi = R"([{"role": "user", "content": "Hi"}])";
const char* const kThink = R"([{"role": "user", "content": "A"},
  {"role": "assistant", "content": "<think>\nr\n</think>\n\nB"}, {"role": "user", "content": "C"}])";
const char* const kTools = R"([{"role": "user", "content": "Hi"},
  {"role": "assistant", "content": null, "tool_calls": [{"id": "functions.f:0", "type": "function",
   "function": {"name": "f", "arguments": "{\"a\":1, \"b\": [true,null]}"}}]},
  {"role": "tool", "tool_call_id": "functions.f:0", "content": "42"}])";

// The golden renders of the family rules (B: bos, E: eos).
TEST(ChatTemplate, FamilyGoldens) {
  const std::string b = "<｜begin▁of▁sentence｜>";
  const std::string e = "<｜end▁of▁sentence｜>";
  EXPECT_EQ(text_of(*style("distill"), kHi), b + "<｜User｜>Hi<｜Assistant｜><think>\n");
  EXPECT_EQ(text_of(*style("r1"), kHi), b + "<｜User｜>Hi<｜Assistant｜>");
  EXPECT_EQ(text_of(*style("v31"), kHi), b + "<｜User｜>Hi<｜Assistant｜></think>");
  EXPECT_EQ(text_of(*style("qwen3"), kHi),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(text_of(*style("kimi"), kHi),
            "<|im_system|>system<|im_middle|>You are Kimi, an AI assistant created by Moonshot "
            "AI.<|im_end|><|im_user|>user<|im_middle|>Hi<|im_end|><|im_assistant|>assistant<|im_"
            "middle|>");
  EXPECT_EQ(text_of(*style("r1"), kThink),
            b + "<｜User｜>A<｜Assistant｜>\n\nB" + e + "<｜User｜>C<｜Assistant｜>");
  EXPECT_EQ(text_of(*style("qwen3"), kThink),
            "<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\nB<|im_end|>\n<|im_start|>user\n"
            "C<|im_end|>\n<|im_start|>assistant\n");
}

// Whole tool rounds, to the byte.
TEST(ChatTemplate, FamilyToolGoldens) {
  const std::string minimax = text_of(*style("minimax"), R"([{"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function":
     {"name": "f", "arguments": {"a": "x y", "n": 3, "l": [1, "z"]}}}]},
    {"role": "tool", "content": "one"}, {"role": "tool", "content": "two"}])");
  EXPECT_TRUE(minimax.ends_with(
      "]~b]ai\n\n<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"a\">x y</parameter>\n"
      "<parameter name=\"n\">3</parameter>\n<parameter name=\"l\">[1, "
      "\"z\"]</parameter>\n</invoke>\n"
      "</minimax:tool_call>[e~[\n]~b]tool\n<response>one</response>\n<response>two</response>[e~[\n"
      "]~b]ai\n<think>\n"))
      << minimax;
  const Json tools = *parse_json(R"([{"type": "function", "function": {"name": "get_weather"}}])");
  const auto kimi =
      style("kimi")->render({.messages = *parse_json(R"([{"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "", "reasoning_content": "r1", "tool_calls": [{"id":
     "functions.get_weather:0", "type": "function", "function": {"name": "get_weather",
     "arguments": {"city": "Paris"}}}]},
    {"role": "tool", "tool_call_id": "functions.get_weather:0", "content": "sunny"}])"),
                             .tools = &tools});
  ASSERT_TRUE(kimi.ok()) << kimi.status().message();
  EXPECT_EQ(
      kimi->joined(),
      "<|im_system|>tool_declare<|im_middle|>"
      R"([{"type":"function","function":{"name":"get_weather"}}])"
      "<|im_end|><|im_system|>system<|im_middle|>You are Kimi, an AI assistant created by "
      "Moonshot AI.<|im_end|><|im_user|>user<|im_middle|>Hi<|im_end|><|im_assistant|>assistant"
      "<|im_middle|><think>r1</think><|tool_calls_section_begin|><|tool_call_begin|>"
      "functions.get_weather:0<|tool_call_argument_begin|>{\"city\": \"Paris\"}<|tool_call_end|>"
      "<|tool_calls_section_end|><|im_end|><|im_system|>tool<|im_middle|>## Return of "
      "functions.get_weather:0\nsunny<|im_end|><|im_assistant|>assistant<|im_middle|>");
}

TEST(ChatTemplate, ToolArgumentsSuitEveryFamily) {
  // Concatenated: the client's own text. Dumped: as json.dumps writes the mapping.
  EXPECT_THAT(text_of(*style("r1"), kTools),
              HasSubstr("```json\n{\"a\":1, \"b\": [true,null]}\n```"));
  // A template that tells text from mappings prints the text as it was sent.
  EXPECT_THAT(text_of(*style("qwen3"), kTools),
              HasSubstr("\"arguments\": {\"a\":1, \"b\": [true,null]}}"));
  EXPECT_THAT(text_of(*style("llama31"), kTools),
              HasSubstr("\"parameters\": {\"a\": 1, \"b\": [true, null]}}"));
  EXPECT_THAT(text_of(*style("minimax"), kTools), HasSubstr("<parameter name=\"a\">1</parameter>"));
  EXPECT_THAT(text_of(*style("kimi"), kTools),
              HasSubstr("functions.f:0<|tool_call_argument_begin|>"));
  // A null content is none to the distilled models and nothing where it is printed.
  EXPECT_THAT(text_of(*style("distill"), kTools), HasSubstr("<｜tool▁calls▁begin｜>"));
  EXPECT_THAT(text_of(*style("minimax"), kTools), Not(HasSubstr("None")));
}

TEST(ChatTemplate, ArgumentsThatAreNoObjectStayText) {
  const char* const messages =
      R"([{"role": "assistant", "content": "", "tool_calls": [{"type": "function",
   "function": {"name": "f", "arguments": "not json"}}]}])";
  EXPECT_THAT(text_of(*style("r1"), messages), HasSubstr("```json\nnot json\n```"));
}

TEST(ChatTemplate, MarksOfTheTemplateAndTextOfTheUserStayApart) {
  const auto chat = ChatTemplate::parse(
      "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}", {});
  ASSERT_TRUE(chat.ok());
  const auto prompt = render(**chat, R"([{"role": "user", "content": "<|user|>"},
                                         {"role": "<|x|>", "content": "y"}])");
  ASSERT_TRUE(prompt.ok());
  const std::vector<TemplateSpan> expected = {{"<|user|>", TextOrigin::kTemplate},
                                              {"<|user|>", TextOrigin::kContent},
                                              {"<|", TextOrigin::kTemplate},
                                              {"<|x|>", TextOrigin::kContent},
                                              {"|>", TextOrigin::kTemplate},
                                              {"y", TextOrigin::kContent}};
  EXPECT_EQ(prompt->spans, expected);
}

TEST(ChatTemplate, PartsBecomeOneText) {
  const auto chat = style("qwen3");
  EXPECT_THAT(text_of(*chat, R"([{"role": "user", "content": [{"type": "text", "text": "a"},
                                {"type": "text", "text": "b"}]}])"),
              HasSubstr("user\na\nb<|im_end|>"));
}

TEST(ChatTemplate, PartsStayWhereTheTemplateReadsThem) {
  const char* const messages = R"([{"role": "user", "content": [{"type": "text", "text": " a "},
                                   {"type": "text", "text": "b"}]}])";
  for (const char* source :
       {"{% for m in messages %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endfor %}",
        "{% for m in messages %}{% for p in m['content'] %}{% if p['type'] == 'text' %}"
        "[{{ p['text'] }}]{% endif %}{% endfor %}{% endfor %}",
        "{% macro show(content) %}{% for p in content | list %}[{{ p.get('text') }}]{% endfor %}"
        "{% endmacro %}{% for m in messages %}{{ show(m.content) }}{% endfor %}"}) {
    const auto chat = ChatTemplate::parse(source, {});
    ASSERT_TRUE(chat.ok()) << chat.status().message();
    EXPECT_EQ(text_of(**chat, messages), "[ a ][b]") << source;
  }
  const auto chat = ChatTemplate::parse(
      "{% for m in messages %}{{ m.content }}{% for c in m.calls %}{{ c.text }}{% endfor %}"
      "{% filter replace('x', 'y') %}{% endfilter %}{% endfor %}",
      {});
  ASSERT_TRUE(chat.ok());
  EXPECT_EQ(text_of(**chat, messages), " a \nb");
}

TEST(ChatTemplate, WrongMessagesNameTheField) {
  const auto chat = style("qwen3");
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "messages"},
      {R"([1])", "messages[0]"},
      {R"([{"content": "x"}])", "messages[0].role"},
      {R"([{"role": 5}])", "messages[0].role"},
      {R"([{"role": "user", "content": 5}])", "messages[0].content"},
      {R"([{"role": "user", "content": {"a": 1}}])", "messages[0].content"},
      {R"([{"role": "user", "content": ["x"]}])", "messages[0].content[0]"},
      {R"([{"role": "user", "content": [{"text": "x"}]}])", "messages[0].content[0].type"},
      {R"([{"role": "user", "content": "x"}, {"role": "user", "content": [{"type": "text", "text": "x"},
           {"type": "image_url"}]}])",
       "messages[1].content[1].type"},
      {R"([{"role": "user", "content": [{"type": "text", "text": 1}]}])",
       "messages[0].content[0].text"},
      {R"([{"role": "assistant", "tool_calls": {}}])", "messages[0].tool_calls"},
      {R"([{"role": "assistant", "tool_calls": [1]}])", "messages[0].tool_calls[0]"},
      {R"([{"role": "assistant", "tool_calls": [{"function": 1}]}])",
       "messages[0].tool_calls[0].function"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"arguments": 1}}]}])",
       "messages[0].tool_calls[0].function.arguments"},
  };
  for (const auto& [messages, param] : cases) {
    const auto prompt = render(*chat, messages);
    ASSERT_FALSE(prompt.ok()) << messages;
    EXPECT_EQ(prompt.status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(prompt.status().param(), param) << prompt.status().message();
    EXPECT_THAT(prompt.status().message(), HasSubstr(param));
  }
}

TEST(ChatTemplate, WrongToolsAndOptions) {
  const auto chat = style("qwen3");
  const Json text("x");
  const Json list = *parse_json("[1]");
  EXPECT_EQ(chat->render({.messages = *parse_json(kHi), .tools = &text}).status().param(), "tools");
  EXPECT_EQ(chat->render({.messages = *parse_json(kHi), .tools = &list}).status().param(),
            "tools[0]");
  JsonObject kwargs;
  kwargs.set("messages", 1);
  EXPECT_EQ(chat->render({.messages = *parse_json(kHi), .kwargs = kwargs}).status().param(),
            "chat_template_kwargs.messages");
}

TEST(ChatTemplate, OptionsAndClockReachTheTemplate) {
  JsonObject kwargs;
  kwargs.set("enable_thinking", false);
  const auto prompt = style("qwen3")->render({.messages = *parse_json(kHi), .kwargs = kwargs});
  ASSERT_TRUE(prompt.ok());
  EXPECT_TRUE(prompt->joined().ends_with("assistant\n<think>\n\n</think>\n\n"));
  const auto dated =
      style("llama31")->render({.messages = *parse_json(kHi), .now_unix = 1753500000});
  ASSERT_TRUE(dated.ok());
  EXPECT_THAT(dated->joined(), HasSubstr("Today Date: 26 Jul 2025\n"));
}

TEST(ChatTemplate, TemplatesOwnRefusalIsPassedOn) {
  const auto prompt = render(*style("minimax"), R"([{"role": "assistant", "content": "x"},
                                                   {"role": "tool", "content": "y"}])");
  ASSERT_FALSE(prompt.ok());
  EXPECT_EQ(prompt.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(prompt.status().message(), testing::StartsWith("Message has tool role"));
}

TEST(ChatTemplate, ReasoningMarkup) {
  const auto distill = style("distill");
  ASSERT_NE(distill->reasoning_markup(), nullptr);
  EXPECT_TRUE(prompt_opens_reasoning(text_of(*distill, kHi), *distill->reasoning_markup()));
  EXPECT_FALSE(prompt_opens_reasoning(text_of(*style("r1"), kHi), *distill->reasoning_markup()));
  EXPECT_EQ(style("llama31")->reasoning_markup(), nullptr);
}

class ChatTemplateFiles : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::path(testing::TempDir()) /
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(directory_);
  }

  void TearDown() override { std::filesystem::remove_all(directory_); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name) << text;
  }

  std::string rendered(const std::string& messages, const Json* tools = nullptr) {
    const auto chat = ChatTemplate::load(directory_.string());
    if (!chat.ok()) {
      return "error: " + chat.status().message();
    }
    return (*chat)->render({.messages = *parse_json(messages), .tools = tools})->joined();
  }

  std::filesystem::path directory_;
};

TEST_F(ChatTemplateFiles, JinjaFileWinsOverTokenizerConfig) {
  write(
      "tokenizer_config.json",
      R"({"chat_template": "config {{ bos_token }}", "bos_token": {"content": "<s>"}, "eos_token": "</s>",
            "pad_token": null})");
  EXPECT_EQ(rendered(kHi), "config <s>");
  write("chat_template.jinja", "file {{ bos_token }}{{ eos_token }}{{ pad_token }}");
  EXPECT_EQ(rendered(kHi), "file <s></s>");
}

TEST_F(ChatTemplateFiles, AdditionalTemplatesDirectory) {
  write("chat_template.jinja", "plain");
  std::filesystem::create_directories(directory_ / "additional_chat_templates");
  write("additional_chat_templates/rag.jinja", "rag");
  write("additional_chat_templates/tool_use.jinja", "tools {{ tools | length }}");
  const Json tools = *parse_json("[{}]");
  EXPECT_EQ(rendered(kHi), "plain");
  EXPECT_EQ(rendered(kHi, &tools), "tools 1");
  write("additional_chat_templates/tool_use.jinja", "{% if %}");
  EXPECT_THAT(rendered(kHi), HasSubstr("tool_use"));
}

TEST_F(ChatTemplateFiles, DocumentsAndSpecialTokensCanBeGiven) {
  write("tokenizer_config.json",
        R"({"chat_template": "{{ bos_token }}{{ documents | map(attribute='t') | join }}",
            "bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": false}})");
  const auto chat = ChatTemplate::load(directory_.string());
  ASSERT_TRUE(chat.ok()) << chat.status().message();
  const JsonObject kwargs = parse_json(R"({"documents": [{"t": "a"}, {"t": "b"}]})")->as_object();
  const auto prompt = (*chat)->render({.messages = *parse_json(kHi), .kwargs = kwargs});
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->joined(), "<s>ab");
}

TEST_F(ChatTemplateFiles, NamedTemplates) {
  write(
      "tokenizer_config.json",
      R"({"chat_template": [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]})");
  const Json tools = *parse_json("[{}]");
  const Json none = *parse_json("[]");
  EXPECT_EQ(rendered(kHi), "plain");
  EXPECT_EQ(rendered(kHi, &none), "plain");
  EXPECT_EQ(rendered(kHi, &tools), "tools");
}

TEST_F(ChatTemplateFiles, ErrorsSayWhatToDo) {
  EXPECT_THAT(rendered(kHi), HasSubstr("put a chat_template.jinja into this directory"));
  write("tokenizer_config.json", R"({"chat_template": "{% if %}"})");
  EXPECT_THAT(rendered(kHi),
              HasSubstr("tokenizer_config.json: chat template, line 1: expected an"));
  write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_THAT(rendered(kHi), HasSubstr("must be a string or an array"));
  write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": ""}]})");
  EXPECT_THAT(rendered(kHi), HasSubstr("no entry is named \"default\""));
}

}  // namespace
}  // namespace tutti
