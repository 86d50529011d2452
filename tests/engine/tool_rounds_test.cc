// Three hundred tool calls in a row with thinking between them, as Kimi-K2-Thinking and MiniMax-M2
// work: a scripted model, a client that sends back what it got, prompts that are the template's to
// the byte, KV blocks that are checked. TUTTI_WRITE_ROUNDS=FILE also writes every prompt with what
// it was made of, for tests/templates/check_rounds.py, which renders them by Python's jinja2.
#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

#include "base/file.h"
#include "engine/text_engine_fakes.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "unit/loader/checkpoint_files.h"
#include "unit/text/tiktoken_files.h"
#include "unit/text/tokenizer_json.h"

namespace tutti {
namespace {

constexpr int kRounds = 300;
constexpr int64_t kPerStep = 16;  // tokens: the fake reads its whole context for each step
const std::string kTemplates = std::string(TUTTI_SOURCE_DIR) + "/tests/unit/text/jinja_templates/";

/// One turn of the model: what it says, what must be understood, and what later prompts show of it.
struct Turn {
  std::string says;
  std::string reasoning;
  std::string content;
  std::vector<ToolCall> calls;
  std::string shown;
};

/// A family's way to write; `calls_before`: in the whole conversation.
class Family {
 public:
  virtual ~Family() = default;
  virtual std::string name() const = 0;
  virtual void write_files(const testing::TempDir& directory) const = 0;
  virtual Json tools() const = 0;
  virtual std::string opening(const std::string& question) const = 0;
  virtual Turn turn(int round, int calls_before) const = 0;
  virtual std::string results(const std::vector<ToolCall>& calls,
                              const std::vector<std::string>& results) const = 0;
  virtual std::string generation() const = 0;
};

const char* const kTools = R"([{"type": "function", "function": {"name": "look",
  "description": "Reads lines of a file.", "parameters": {"type": "object", "properties": {
  "path": {"type": "string"}, "line": {"type": "integer"}, "tags": {"type": "array"}}}}},
  {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {
  "a": {"type": "number"}, "text": {"type": "string"}}}}}])";

std::string thought(int round) {
  static const std::vector<std::string> kThoughts{
      "The file is not what", "先看\nThen line three", "a < b && \"Perhaps\" \\n is", "Hm."};
  return kThoughts[usize(round) % kThoughts.size()] + " Step " + std::to_string(round);
}

void write_template(const testing::TempDir& directory, const std::string& name) {
  directory.write("chat_template.jinja", read_file(kTemplates + name + "_style.jinja").value());
}

// Whole tokens, so that prompts stay short.
const std::vector<std::string>& words() {
  static const std::vector<std::string> kWords{
      " file",     " not",    " what",    " took",     " line",     " Step",      " look",
      "look",      " path",   "path",     "src",       "functions", "Return",     " of",
      "The",       " is",     " for",     "Then",      "Perhaps",   " three",     "Let",
      " me",       "line",    "tags",     "text",      "data",      "/src",       "\":",
      "\",",       "{\"",     " \"",      "assistant", "tool",      "ok",         "</response",
      "<response", "<invoke", "</invoke", " name",     "=\"",       "<parameter", "</parameter",
      "\">\n",     "\">",     ">\n",      "##",        " Return",   "Hm"};
  return kWords;
}

class Kimi final : public Family {
 public:
  std::string name() const override { return "kimi"; }

  void write_files(const testing::TempDir& directory) const override {
    write_template(directory, "kimi");
    directory.write("tiktoken.model", tiktoken_file(words()));
    JsonObject added;
    int id = 256 + static_cast<int>(words().size());
    for (const char* mark : {"[BOS]",
                             "[EOS]",
                             "<|im_end|>",
                             "<|im_user|>",
                             "<|im_assistant|>",
                             "<|im_system|>",
                             "<|im_middle|>",
                             "<|tool_calls_section_begin|>",
                             "<|tool_calls_section_end|>",
                             "<|tool_call_begin|>",
                             "<|tool_call_argument_begin|>",
                             "<|tool_call_end|>",
                             "<think>",
                             "</think>"}) {
      const bool special = std::string_view(mark).find("think") == std::string_view::npos;
      added.set(std::to_string(id++), Json::object({{"content", mark}, {"special", special}}));
    }
    directory.write("tokenizer_config.json",
                    to_string(Json::object({{"tokenizer_class", "TikTokenTokenizer"},
                                            {"bos_token", "[BOS]"},
                                            {"eos_token", "<|im_end|>"},
                                            {"added_tokens_decoder", Json(std::move(added))}})));
  }

  Json tools() const override { return *parse_json(kTools); }

  std::string opening(const std::string& question) const override {
    // Keys in order, no spaces, as Kimi's tokenizer and template have it.
    return "<|im_system|>tool_declare<|im_middle|>"
           R"([{"function":{"description":"Reads lines of a file.","name":"look","parameters":)"
           R"({"properties":{"line":{"type":"integer"},"path":{"type":"string"},)"
           R"("tags":{"type":"array"}},"type":"object"}},"type":"function"},)"
           R"({"function":{"name":"add","parameters":{"properties":{"a":{"type":"number"},)"
           R"("text":{"type":"string"}},"type":"object"}},"type":"function"}])"
           "<|im_end|><|im_system|>system<|im_middle|>You are Kimi, an AI assistant created by "
           "Moonshot AI.<|im_end|><|im_user|>user<|im_middle|>" +
           question + "<|im_end|>";
  }

  Turn turn(int round, int calls_before) const override {
    Turn t;
    t.reasoning = thought(round);
    t.content = round % 3 == 1 ? "Let me look." : "";
    const int count = round % 7 == 3 ? 2 : 1;
    for (int i = 0; i < count; ++i) {
      const std::string name = i == 0 ? "look" : "add";
      t.calls.push_back(
          {.id = fmt::format("functions.{}:{}", name, calls_before + i),
           .name = name,
           .arguments =
               i == 0 ? fmt::format(R"({{"path": "src/a{}.cc",  "line":{}}})", round % 9, round)
                      : fmt::format(R"({{"a": {}.50, "text": "<|im|> 是\n \"data\""}})", round)});
    }
    std::string section = "<|tool_calls_section_begin|>";
    for (const ToolCall& call : t.calls) {
      section += "<|tool_call_begin|>" + call.id + "<|tool_call_argument_begin|>" + call.arguments +
                 "<|tool_call_end|>";
    }
    section += "<|tool_calls_section_end|>";
    t.shown = "<|im_assistant|>assistant<|im_middle|><think>" + t.reasoning + "</think>" +
              t.content + section + "<|im_end|>";
    // Models write line ends that a prompt does not repeat.
    const std::string space = round % 10 == 9 ? "\n" : "";
    t.says =
        "<think>" + space + t.reasoning + space + "</think>" + space + t.content + space + section;
    return t;
  }

  std::string results(const std::vector<ToolCall>& calls,
                      const std::vector<std::string>& results) const override {
    std::string text;
    for (size_t i = 0; i < calls.size(); ++i) {
      text += "<|im_system|>tool<|im_middle|>## Return of " + calls[i].id + "\n" + results[i] +
              "<|im_end|>";
    }
    return text;
  }

  std::string generation() const override { return "<|im_assistant|>assistant<|im_middle|>"; }
};

class MiniMax final : public Family {
 public:
  std::string name() const override { return "minimax"; }

  void write_files(const testing::TempDir& directory) const override {
    write_template(directory, "minimax");
    Json file = tokenizer_file();
    Json& model = *file.as_object().find("model");
    model.as_object().set("ignore_merges", true);
    JsonObject& vocab = model.as_object().find("vocab")->as_object();
    for (const std::string& word : words()) {
      vocab.append(vocab_string_of_bytes(word), static_cast<int64_t>(vocab.size()));
    }
    JsonArray added;
    int id = 1000;
    for (const char* mark : {"]~!b[",
                             "]~b]",
                             "[e~[",
                             "<think>",
                             "</think>",
                             "<minimax:tool_call>",
                             "</minimax:tool_call>"}) {
      added.push_back(added_token(id++, mark, mark[0] != '<'));
    }
    directory.write("tokenizer.json",
                    to_string(with(std::move(file), "added_tokens", std::move(added))));
    directory.write("tokenizer_config.json", R"({"bos_token": "]~!b[", "eos_token": "[e~["})");
  }

  Json tools() const override { return *parse_json(kTools); }

  std::string opening(const std::string& question) const override {
    return "]~!b[]~b]system\nYou are a helpful assistant.\n# Tools\n\n<tools>\n"
           R"(<tool>{"name": "look", "description": "Reads lines of a file.", "parameters": )"
           R"({"type": "object", "properties": {"path": {"type": "string"}, "line": )"
           R"({"type": "integer"}, "tags": {"type": "array"}}}}</tool>)"
           "\n"
           R"(<tool>{"name": "add", "parameters": {"type": "object", "properties": {"a": )"
           R"({"type": "number"}, "text": {"type": "string"}}}}</tool>)"
           "\n</tools>[e~[\n]~b]user\n" +
           question + "[e~[\n";
  }

  Turn turn(int round, int /*calls_before*/) const override {
    Turn t;
    t.reasoning = thought(round);
    t.content = round % 3 == 1 ? "Let me look." : "";
    const std::string path = fmt::format("src/a{}.cc </invoke >", round % 9);
    std::string calls = fmt::format(
        "<invoke name=\"look\">\n<parameter name=\"path\">{}</parameter>\n"
        "<parameter name=\"line\">{}</parameter>\n"
        "<parameter name=\"tags\">[\"x\", {}]</parameter>\n</invoke>\n",
        path,
        round,
        round % 4);
    t.calls.push_back(
        {.id = {},
         .name = "look",
         .arguments = fmt::format(
             R"({{"path": "{}", "line": {}, "tags": ["x", {}]}})", path, round, round % 4)});
    if (round % 7 == 3) {
      calls +=
          "<invoke name=\"add\">\n<parameter name=\"text\">true & \"是\"</parameter>\n</invoke>\n";
      t.calls.push_back({.id = {}, .name = "add", .arguments = R"({"text": "true & \"是\""})"});
    }
    const std::string after = t.reasoning + "\n</think>\n\n" + t.content +
                              "\n<minimax:tool_call>\n" + calls + "</minimax:tool_call>";
    t.says = after;  // the prompt has opened the reasoning
    t.shown = "]~b]ai\n<think>\n" + after + "[e~[\n";
    return t;
  }

  std::string results(const std::vector<ToolCall>& calls,
                      const std::vector<std::string>& results) const override {
    std::string text = "]~b]tool";
    for (size_t i = 0; i < calls.size(); ++i) {
      text += "\n<response>" + results[i] + "</response>";
    }
    return text + "[e~[\n";
  }

  std::string generation() const override { return "]~b]ai\n<think>\n"; }
};

/// The calls of a reply, put together as a client does.
std::vector<ToolCall> calls_of(const OutputEvents& events) {
  std::vector<ToolCall> calls;
  for (const OutputEvent& event : events) {
    if (event.kind == OutputEvent::Kind::kCallBegin) {
      calls.push_back({.id = event.id, .name = event.name, .arguments = {}});
    } else if (event.kind == OutputEvent::Kind::kCallArguments) {
      calls.back().arguments += event.text;
    }
  }
  return calls;
}

Json message_of(const RecordingSink& sink, const std::vector<ToolCall>& calls) {
  JsonArray list;
  for (const ToolCall& call : calls) {
    list.push_back(Json::object(
        {{"id", call.id.empty() ? std::string("call_1") : call.id},
         {"type", "function"},
         {"function", Json::object({{"name", call.name}, {"arguments", call.arguments}})}}));
  }
  return Json::object({{"role", "assistant"},
                       {"content", sink.content().empty() ? Json() : Json(sink.content())},
                       {"reasoning_content", sink.reasoning()},
                       {"tool_calls", Json(std::move(list))}});
}

class Rounds {
 public:
  explicit Rounds(const Family& family) : family_(family) {
    family.write_files(directory_);
    tokenizer_ = Tokenizer::load(directory_.path()).value();
    template_ = ChatTemplate::load(directory_.path()).value();
    tools_ = std::make_shared<Json>(family.tools());
    auto fake = std::make_unique<FakeModelRunner>(RunnerLimits{.block_size = 16,
                                                               .num_blocks = 6000,
                                                               .max_batch_tokens = 512,
                                                               .max_batch_sequences = 4,
                                                               .max_context = 90000,
                                                               .vocab_size = 2000,
                                                               .max_tokens_per_step = kPerStep});
    fake->set_token_hook([this](const SampleRow& row, FakeModelRunner::Sampled& out) {
      out.tokens.resize(usize(kPerStep));
      for (size_t i = 0; i < usize(kPerStep); ++i) {
        const size_t at = usize(row.output_position) + i;
        out.tokens[i].token = at < script_.size() ? script_[at] : *tokenizer_->eos_id();
      }
    });
    TextEngineParts parts;
    parts.runner = std::move(fake);
    parts.defaults.eos_token_ids = {*tokenizer_->eos_id()};
    parts.tokenizer = tokenizer_;
    parts.chat_template = template_;
    engine_ = std::make_unique<TextEngine>(std::move(parts));
    if (const char* path = std::getenv("TUTTI_WRITE_ROUNDS")) {
      written_.open(std::string(path) + "." + family.name());
    }
  }

  void run() {
    const std::string question = "Find the bug in src. <|im_end|> [e~[ is text.";
    messages_.push_back(Json::object({{"role", "user"}, {"content", question}}));
    std::string shown = family_.opening(question);
    int calls = 0;
    for (int round = 0; round < kRounds && !::testing::Test::HasFailure(); ++round) {
      const Turn turn = family_.turn(round, calls);
      shown += play(turn, shown + family_.generation());
      calls += static_cast<int>(turn.calls.size());
    }
    ASSERT_TRUE(engine_->drain(std::chrono::seconds(30)));
    const EngineStats stats = engine_->stats();
    EXPECT_EQ(stats.requests_finished, uint64_t{kRounds});
    EXPECT_EQ(stats.kv_blocks_used, 0) << "a finished request keeps blocks";
    EXPECT_EQ(stats.prefix_cache_evictions, 0U);
    // One conversation is cached, however often it was sent: its blocks, and those that thoughts
    // filled which were sent back with other line ends.
    const auto last = static_cast<int64_t>(messages_prompt_);
    EXPECT_LE(stats.kv_blocks_cached, last / 16 + kRounds * 12);
    const double share = static_cast<double>(stats.prefix_cache_hits) /
                         static_cast<double>(stats.prefix_cache_queries);
    EXPECT_GE(share, 0.95) << "prefix cache hits";
    std::cout << fmt::format("{}: {} rounds, {} calls, last prompt {} tokens, {:.2f} % cached\n",
                             family_.name(),
                             kRounds,
                             calls,
                             messages_prompt_,
                             100.0 * share);
  }

 private:
  // Asks, checks the answer, sends back results; what later prompts show of it.
  std::string play(const Turn& turn, const std::string& want) {
    const ChatInput chat{
        .messages = Json(messages_), .tools = tools_, .one_call = false, .template_kwargs = {}};
    Result<Prompt> prompt = engine_->prepare(chat);
    EXPECT_TRUE(prompt.ok()) << prompt.status().message();
    if (!prompt.ok()) {
      return {};
    }
    const std::string text = tokenizer_->decode(prompt->tokens);
    EXPECT_EQ(text == want, true) << "after the first difference: " << difference(text, want);
    if (written_.is_open()) {
      written_ << to_string(Json::object(
                      {{"messages", Json(messages_)}, {"tools", *tools_}, {"prompt", text}}))
               << "\n";
    }
    script_ = tokenizer_->encode(turn.says, {.add_special_tokens = false}).value();
    messages_prompt_ = prompt->tokens.size();
    GenerationRequest request;
    request.begin_with(std::move(*prompt));
    request.request_id = "round";
    auto sink = std::make_shared<RecordingSink>();
    EXPECT_TRUE(engine_->generate(std::move(request), sink).ok());
    EXPECT_TRUE(sink->wait());
    EXPECT_TRUE(sink->well_behaved());
    EXPECT_TRUE(sink->status().ok()) << sink->status().message();
    const std::vector<ToolCall> calls = calls_of(sink->events());
    EXPECT_EQ(sink->reasoning(), turn.reasoning);
    EXPECT_EQ(sink->content(), turn.content);
    EXPECT_EQ(calls, turn.calls);
    messages_.push_back(message_of(*sink, calls));
    std::vector<std::string> results;
    for (const ToolCall& call : calls) {
      results.push_back("ok " + std::to_string(messages_.size()) + " </response>行");
      messages_.push_back(
          Json::object({{"role", "tool"}, {"tool_call_id", call.id}, {"content", results.back()}}));
    }
    return turn.shown + family_.results(calls, results);
  }

  static std::string difference(const std::string& got, const std::string& want) {
    size_t at = 0;
    while (at < got.size() && at < want.size() && got[at] == want[at]) {
      ++at;
    }
    return "\ngot  " + got.substr(at, 200) + "\nwant " + want.substr(at, 200);
  }

  const Family& family_;
  testing::TempDir directory_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const ChatTemplate> template_;
  std::shared_ptr<const Json> tools_;
  std::vector<int32_t> script_;
  JsonArray messages_;
  size_t messages_prompt_ = 0;
  std::ofstream written_;
  std::unique_ptr<TextEngine> engine_;
};

TEST(ToolRounds, Kimi) {
  const Kimi family;
  Rounds(family).run();
}

TEST(ToolRounds, MiniMax) {
  const MiniMax family;
  Rounds(family).run();
}

}  // namespace
}  // namespace tutti
