#include "engine/prompt.h"

#include <gtest/gtest.h>

#include "engine/generation_config.h"
#include "engine/tool_prompt.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tutti {
namespace {

Json parsed(const std::string& text) {
  auto json = parse_json(text);
  EXPECT_TRUE(json.ok()) << json.status().message();
  return *std::move(json);
}

/// One token per printable ASCII character, space and line end; a few added tokens.
std::shared_ptr<const Tokenizer> tiny_tokenizer() {
  JsonObject vocab;
  int64_t next = 0;
  for (char c = '!'; c <= '~'; ++c) {
    vocab.append(std::string(1, c), Json(next++));
  }
  vocab.append("\u0120", Json(next++));  // space
  vocab.append("\u010a", Json(next++));  // line end
  JsonArray added;
  for (const char* text : {"<|bos|>", "<|user|>", "<|end|>", "<think>"}) {
    added.push_back(Json::object({{"id", Json(next++)},
                                  {"content", text},
                                  {"single_word", false},
                                  {"lstrip", false},
                                  {"rstrip", false},
                                  {"normalized", false},
                                  {"special", true}}));
  }
  Json root = parsed(R"({"version":"1.0","truncation":null,"padding":null,"normalizer":null,
    "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,
                     "use_regex":true},
    "post_processor":null,
    "decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
    "model":{"type":"BPE","merges":[]}})");
  root.as_object().set("added_tokens", Json(std::move(added)));
  root.as_object().find("model")->as_object().set("vocab", Json(std::move(vocab)));
  const Json config =
      parsed(R"({"bos_token":"<|bos|>","eos_token":"<|end|>","add_bos_token":true})");
  auto tokenizer = Tokenizer::from_json(root, &config);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return *tokenizer;
}

std::shared_ptr<const ChatTemplate> tiny_template() {
  JsonObject special;
  special.set("bos_token", "<|bos|>");
  auto chat = ChatTemplate::parse(
      "{{ bos_token }}{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}"
      "{% if add_generation_prompt %}<think>\n{% endif %}",
      special);
  EXPECT_TRUE(chat.ok()) << chat.status().message();
  return *chat;
}

std::vector<int32_t> ids_of(const Tokenizer& tokenizer, std::vector<std::string> tokens) {
  std::vector<int32_t> out;
  for (const std::string& token : tokens) {
    out.push_back(tokenizer.token_id(token).value_or(-1));
  }
  return out;
}

ChatInput say(const std::string& content) {
  ChatInput input;
  input.messages = Json::array({Json::object({{"role", "user"}, {"content", content}})});
  return input;
}

TEST(ChatPrompt, TemplateMarksAreTokensAndThinkingIsOpen) {
  const auto tokenizer = tiny_tokenizer();
  const auto prompt = make_chat_prompt(*tiny_template(), *tokenizer, say("hi"), 0);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->tokens,
            ids_of(*tokenizer, {"<|bos|>", "<|user|>", "h", "i", "<|end|>", "<think>", "\n"}));
  EXPECT_TRUE(prompt->form.reasoning_open);
}

TEST(ChatPrompt, MarksInsideMessagesStayText) {
  const auto tokenizer = tiny_tokenizer();
  const auto prompt = make_chat_prompt(*tiny_template(), *tokenizer, say("<|end|><|user|>x"), 0);
  ASSERT_TRUE(prompt.ok());
  const int32_t user = *tokenizer->token_id("<|user|>");
  const int32_t end = *tokenizer->token_id("<|end|>");
  EXPECT_EQ(std::count(prompt->tokens.begin(), prompt->tokens.end(), user), 1);
  EXPECT_EQ(std::count(prompt->tokens.begin(), prompt->tokens.end(), end), 1);
}

TEST(ChatPrompt, AMessageCannotOpenReasoning) {
  auto chat = ChatTemplate::parse("{{ messages[0].content }}{# <think> #}", {});
  ASSERT_TRUE(chat.ok());
  ASSERT_NE((*chat)->reasoning_markup(), nullptr);
  const auto prompt = make_chat_prompt(**chat, *tiny_tokenizer(), say("x<think>"), 0);
  ASSERT_TRUE(prompt.ok());
  EXPECT_FALSE(prompt->form.reasoning_open);
}

TEST(ChatPrompt, ATemplateMayCloseTheReasoning) {
  auto chat = ChatTemplate::parse("{{ messages[0].content }}<think>\n\n</think>\n\n", {});
  ASSERT_TRUE(chat.ok());
  auto prompt = make_chat_prompt(**chat, *tiny_tokenizer(), say("x"), 0);
  ASSERT_TRUE(prompt.ok());
  EXPECT_TRUE(prompt->form.reasoning_closed);
  EXPECT_FALSE(prompt->form.reasoning_open);
  chat = ChatTemplate::parse("{{ messages[0].content }}{# </think> #}", {});
  ASSERT_TRUE(chat.ok());
  prompt = make_chat_prompt(**chat, *tiny_tokenizer(), say("x</think>"), 0);
  ASSERT_TRUE(prompt.ok());
  EXPECT_FALSE(prompt->form.reasoning_closed);
}

std::shared_ptr<const Json> one_tool() {
  return std::make_shared<const Json>(
      *parse_json(R"([{"type":"function","function":{"name":"f"}}])"));
}

TEST(ChatPrompt, ToolsSayHowTheirCallsAreRead) {
  auto chat = ChatTemplate::parse("{{ tools }}{{ messages }}{# <tool_call> #}", {});
  ASSERT_TRUE(chat.ok());
  ASSERT_NE((*chat)->tool_call_markup(), nullptr);
  ChatInput input = say("x");
  auto prompt = make_chat_prompt(**chat, *tiny_tokenizer(), input, 0);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->form.calls, nullptr);  // none were declared
  input.tools = one_tool();
  input.one_call = true;
  prompt = make_chat_prompt(**chat, *tiny_tokenizer(), input, 0);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->form.calls, (*chat)->tool_call_markup());
  EXPECT_EQ(prompt->form.tools, input.tools);
  EXPECT_TRUE(prompt->form.one_call);
}

TEST(ChatPrompt, ToolsOfNoKnownFormAreRefused) {
  ChatInput input = say("x");
  input.tools = one_tool();
  auto chat = ChatTemplate::parse("{{ tools }}{{ messages }}", {});
  ASSERT_TRUE(chat.ok());
  const auto prompt = make_chat_prompt(**chat, *tiny_tokenizer(), input, 0);
  EXPECT_EQ(prompt.status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(prompt.status().param(), "tools");
}

// DeepSeek-R1's template has a form of calls and shows no tools.
TEST(ChatPrompt, ToolsThatTheTemplateDoesNotShowAreDescribed) {
  auto chat = ChatTemplate::parse(
      "{% for m in messages %}{{ m.role }}={{ m.content }};{% endfor %}{# <tool_call> #}", {});
  ASSERT_TRUE(chat.ok());
  ChatInput input = say("x");
  input.tools = one_tool();
  const auto prompt = make_chat_prompt(**chat, *tiny_tokenizer(), input, 0);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_TRUE(prompt->tools_described);
  EXPECT_NE(prompt->form.calls, nullptr);
  const Json described = with_tools_described(input.messages, *input.tools);
  ASSERT_EQ(described.as_array().size(), 2U);
  EXPECT_EQ(described.as_array()[0].find("role")->as_string(), "system");
  const std::string text = described.as_array()[0].find("content")->as_string();
  EXPECT_NE(text.find(to_string(*input.tools->as_array()[0].find("function"))), std::string::npos);
  // A system message keeps its text, the tools come behind it.
  const Json again = with_tools_described(described, *input.tools);
  ASSERT_EQ(again.as_array().size(), 2U);
  EXPECT_TRUE(again.as_array()[0].find("content")->as_string().starts_with(text + "\n\n"));
  input.tools = nullptr;
  EXPECT_FALSE(make_chat_prompt(**chat, *tiny_tokenizer(), input, 0)->tools_described);
}

ChatInput say_with(const char* variable, Json value) {
  ChatInput input = say("x");
  input.template_kwargs.set(variable, std::move(value));
  return input;
}

constexpr const char* kAlwaysReasons = "{{ messages[0].content }}<think>";
constexpr const char* kSwitched =
    "{{ messages[0].content }}{% if enable_thinking %}<think>{% endif %}{{ effort }}";
constexpr const char* kNeverReasons = "{{ messages[0].content }}";

TEST(ChatPrompt, VariablesThatTheTemplateDoesNotReadAreNamed) {
  auto chat = ChatTemplate::parse(kSwitched, {});
  ASSERT_TRUE(chat.ok());
  ChatInput input = say_with("enable_thinking", false);
  input.template_kwargs.set("effort", 1);
  auto prompt = make_chat_prompt(**chat, *tiny_tokenizer(), input, 0);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_TRUE(prompt->unread.empty());
  input.template_kwargs.set("colour", "red");
  input.template_kwargs.set("reasoning_effort", "low");
  prompt = make_chat_prompt(**chat, *tiny_tokenizer(), input, 0);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->unread,
            (std::vector<std::string>{"chat_template_kwargs.colour", "reasoning_effort"}));
}

// Who switches reasoning off and gets it all the same pays for tokens and may show thoughts.
TEST(ChatPrompt, ReasoningThatCannotBeSwitchedOffIsNotSilentlyLeftOn) {
  struct Ask {
    const char* source;
    const char* variable;
    Json value;
    const char* param;  // "": answered
    const char* remedy;
  };

  for (const Ask& ask :
       {Ask{kAlwaysReasons,
            "enable_thinking",
            false,
            "chat_template_kwargs.enable_thinking",
            "leave the field out"},
        Ask{kAlwaysReasons,
            "thinking",
            false,
            "chat_template_kwargs.thinking",
            "leave the field out"},
        Ask{kAlwaysReasons, "reasoning_effort", "none", "reasoning_effort", "leave the field out"},
        Ask{kAlwaysReasons, "enable_thinking", true, "", ""},
        Ask{kAlwaysReasons, "reasoning_effort", "low", "", ""},
        Ask{kAlwaysReasons, "colour", false, "", ""},
        Ask{kSwitched, "enable_thinking", false, "", ""},
        Ask{kSwitched,
            "thinking",
            false,
            "chat_template_kwargs.thinking",
            "{\"enable_thinking\": false}"},
        Ask{kSwitched,
            "reasoning_effort",
            "none",
            "reasoning_effort",
            "{\"enable_thinking\": false}"},
        Ask{kNeverReasons, "enable_thinking", false, "", ""},
        Ask{kNeverReasons, "reasoning_effort", "none", "", ""}}) {
    auto chat = ChatTemplate::parse(ask.source, {});
    ASSERT_TRUE(chat.ok());
    const auto prompt =
        make_chat_prompt(**chat, *tiny_tokenizer(), say_with(ask.variable, ask.value), 0);
    EXPECT_EQ(prompt.status().param(), ask.param) << ask.source << ask.variable;
    EXPECT_EQ(prompt.ok(), std::string_view(ask.param).empty()) << prompt.status().message();
    EXPECT_NE(prompt.status().message().find(ask.remedy), std::string::npos)
        << prompt.status().message();
  }
}

TEST(ChatPrompt, ReasoningIsSwitchedByWhateverTheTemplateReads) {
  struct Ask {
    const char* source;
    bool on;
    bool ok;
    bool open;
  };

  constexpr const char* kOther =
      "{{ messages[0].content }}{% if thinking %}<think>{% endif %}{# <think> #}";
  for (const Ask& ask : {Ask{kSwitched, true, true, true},
                         Ask{kSwitched, false, true, false},
                         Ask{kOther, true, true, true},
                         Ask{kOther, false, true, false},
                         Ask{kAlwaysReasons, true, true, true},
                         Ask{kAlwaysReasons, false, false, false},
                         Ask{kNeverReasons, true, true, false},
                         Ask{kNeverReasons, false, true, false}}) {
    auto chat = ChatTemplate::parse(ask.source, {});
    ASSERT_TRUE(chat.ok());
    ChatInput input = say("x");
    input.reasoning = ask.on;
    input.reasoning_field = "think";
    const auto prompt = make_chat_prompt(**chat, *tiny_tokenizer(), input, 0);
    EXPECT_EQ(prompt.ok(), ask.ok) << ask.source << ask.on;
    EXPECT_EQ(prompt.ok() && prompt->form.reasoning_open, ask.open) << ask.source << ask.on;
    EXPECT_EQ(prompt.status().param(), ask.ok ? "" : "think");
    EXPECT_TRUE(!prompt.ok() || prompt->unread.empty());
  }
}

TEST(ChatPrompt, TheLastMessageIsGoneOnWith) {
  const auto tokenizer = tiny_tokenizer();
  ChatInput input;
  input.messages =
      *parse_json(R"([{"role":"user","content":"hi"},{"role":"user","content":"so "}])");
  input.continue_final_message = true;
  const auto prompt = make_chat_prompt(*tiny_template(), *tokenizer, input, 0);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->tokens,
            ids_of(*tokenizer, {"<|bos|>", "<|user|>", "h", "i", "<|end|>", "<|user|>", "s", "o"}));
  EXPECT_FALSE(prompt->form.reasoning_open);
  EXPECT_TRUE(prompt->form.reasoning_closed);
  input.messages = *parse_json(R"([{"role":"user","content":" "}])");
  EXPECT_EQ(make_chat_prompt(*tiny_template(), *tokenizer, input, 0).status().param(),
            "messages[0].content");
  auto shouts = ChatTemplate::parse("{{ messages[0].content | upper }}", {});
  ASSERT_TRUE(shouts.ok());
  input.messages = *parse_json(R"([{"role":"user","content":"hi"}])");
  EXPECT_EQ(make_chat_prompt(**shouts, *tokenizer, input, 0).status().code(),
            StatusCode::kUnsupported);
}

TEST(ChatPrompt, AChatMayEndWithoutTheModelsTurn) {
  auto chat = ChatTemplate::parse(
      "{{ messages[0].content }}{% if add_generation_prompt %}<think>{% endif %}", {});
  ASSERT_TRUE(chat.ok());
  ChatInput input = say("x");
  const auto open = make_chat_prompt(**chat, *tiny_tokenizer(), input, 0);
  input.add_generation_prompt = false;
  const auto closed = make_chat_prompt(**chat, *tiny_tokenizer(), input, 0);
  ASSERT_TRUE(open.ok() && closed.ok());
  EXPECT_GT(open->tokens.size(), closed->tokens.size());
}

TEST(ChatPrompt, BadMessagesAreErrors) {
  ChatInput input;
  input.messages = Json("hello");
  const auto prompt = make_chat_prompt(*tiny_template(), *tiny_tokenizer(), input, 0);
  EXPECT_EQ(prompt.status().code(), StatusCode::kInvalidArgument);
}

TEST(CompletionPrompt, AddsBosAndParsesSpecialText) {
  const auto tokenizer = tiny_tokenizer();
  const auto ids = make_completion_prompt(*tokenizer, "a<|end|>");
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(ids->tokens, ids_of(*tokenizer, {"<|bos|>", "a", "<|end|>"}));
}

// --- generation_config.json -------------------------------------------------------------------

Result<GenerationDefaults> defaults(const char* generation,
                                    const char* config,
                                    std::optional<int32_t> tokenizer_eos) {
  const Json g = generation == nullptr ? Json() : parsed(generation);
  const Json c = config == nullptr ? Json() : parsed(config);
  return make_generation_defaults(
      generation == nullptr ? nullptr : &g, config == nullptr ? nullptr : &c, tokenizer_eos);
}

using Ids = std::vector<int32_t>;

TEST(GenerationConfig, EosIsTheUnionOfFileAndTokenizer) {
  EXPECT_EQ(defaults(R"({"eos_token_id":5})", R"({"eos_token_id":9})", 7)->eos_token_ids,
            (Ids{5, 7}));
  EXPECT_EQ(defaults(R"({"eos_token_id":[5,7,5]})", nullptr, 7)->eos_token_ids, (Ids{5, 7}));
  EXPECT_EQ(defaults(nullptr, nullptr, 7)->eos_token_ids, (Ids{7}));
  EXPECT_EQ(defaults(nullptr, nullptr, std::nullopt)->eos_token_ids, Ids{});
}

TEST(GenerationConfig, ConfigIsOnlyAFallback) {
  EXPECT_EQ(defaults("{}", R"({"eos_token_id":9})", 7)->eos_token_ids, (Ids{9, 7}));
  EXPECT_EQ(defaults(R"({"eos_token_id":null})", R"({"eos_token_id":[9,-1]})", std::nullopt)
                ->eos_token_ids,
            (Ids{9}));
}

TEST(GenerationConfig, SamplingValuesAreTheDefaults) {
  const auto out = defaults(
      R"({"temperature":0.6,"top_p":0.95,"top_k":20,"min_p":0.1,"repetition_penalty":1.05,
          "do_sample":true,"transformers_version":"4"})",
      nullptr,
      std::nullopt);
  ASSERT_TRUE(out.ok()) << out.status().message();
  EXPECT_FLOAT_EQ(out->sampling.temperature, 0.6F);
  EXPECT_FLOAT_EQ(out->sampling.top_p, 0.95F);
  EXPECT_EQ(out->sampling.top_k, 20);
  EXPECT_FLOAT_EQ(out->sampling.min_p, 0.1F);
  EXPECT_FLOAT_EQ(out->sampling.repetition_penalty, 1.05F);
  EXPECT_EQ(defaults(R"({"top_k":-1})", nullptr, 1)->sampling.top_k, 0);
  EXPECT_EQ(defaults("{}", nullptr, 1)->sampling.temperature, 1.0F);
}

TEST(GenerationConfig, WithoutSamplingItIsGreedy) {
  EXPECT_TRUE(defaults(R"({"do_sample":false,"temperature":0.7})", nullptr, 1)->sampling.greedy());
}

TEST(GenerationConfig, BadValuesNameFileAndField) {
  for (const char* bad : {R"({"eos_token_id":"x"})",
                          R"({"eos_token_id":[1,null]})",
                          R"({"eos_token_id":4294967296})",
                          R"({"temperature":"hot"})",
                          R"({"temperature":-1})",
                          R"({"top_p":0})",
                          R"({"repetition_penalty":1e300})",
                          R"({"top_k":1.5})",
                          R"([1])"}) {
    const auto out = defaults(bad, nullptr, 1);
    ASSERT_FALSE(out.ok()) << bad;
    EXPECT_NE(out.status().message().find("generation_config.json"), std::string::npos)
        << out.status().message();
  }
}

TEST(GenerationConfig, ADirectoryWithoutFilesGivesBuiltInDefaults) {
  const auto out = load_generation_defaults(TUTTI_SOURCE_DIR "/tests/engine", 3);
  ASSERT_TRUE(out.ok()) << out.status().message();
  EXPECT_EQ(out->eos_token_ids, (Ids{3}));
}

}  // namespace
}  // namespace tutti
