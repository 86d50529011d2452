// The model that ships with the program under load: 32 requests at once, a KV pool much too small
// for them, every chunk size, prefix cache off and on, one and two ranks. Every byte must be what
// the request gets when it is alone.
//   TUTTI_LOAD_FULL=1: 200 requests in every combination; otherwise fewer in a few.
#include <chrono>
#include <cstdlib>
#include <random>
#include <semaphore>

#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "base/file.h"
#include "base/json.h"
#include "engine/prompt.h"
#include "engine/ranks/ranked_model_runner.h"
#include "engine/text_engine.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tutti {
namespace {

constexpr int64_t kConcurrency = 32;
constexpr int64_t kBlockSize = 16;
constexpr int64_t kContext = 512;
const std::string kModel = std::string(TUTTI_SOURCE_DIR) + "/models/tiny-r1";

bool full() {
  return std::getenv("TUTTI_LOAD_FULL") != nullptr;
}

struct LoadSetup {
  int ranks = 1;
  int64_t blocks = 0;  // of KV memory; 0 = plenty
  int64_t chunk = 0;
  bool cache = false;
  int64_t concurrency = kConcurrency;
};

struct Answer {
  std::string text;
  std::vector<int32_t> tokens;
  std::string finish;

  bool operator==(const Answer&) const = default;
};

class AnswerSink final : public GenerationSink {
 public:
  AnswerSink(Answer& answer, std::counting_semaphore<>& done) : answer_(answer), done_(done) {}

  void on_delta(GenerationDelta delta) override {
    answer_.text += delta.reasoning + delta.content;
    answer_.tokens.insert(answer_.tokens.end(), delta.tokens.begin(), delta.tokens.end());
    if (delta.finish) {
      answer_.finish = to_string(*delta.finish);
    }
  }

  void on_done(const GenerationUsage& /*usage*/) override { done_.release(); }

  void on_error(const Status& status) override {
    answer_.finish = "error: " + status.message();
    done_.release();
  }

 private:
  Answer& answer_;
  std::counting_semaphore<>& done_;
};

struct Model {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat_template;
};

Model load_text() {
  const std::string directory = kModel + "/checkpoint";
  auto tokenizer = Tokenizer::load(directory);
  auto chat_template = ChatTemplate::load(directory);
  EXPECT_TRUE(tokenizer.ok() && chat_template.ok());
  return {std::move(tokenizer).value(), std::move(chat_template).value()};
}

std::unique_ptr<TextEngine> start(const Model& model, const LoadSetup& setup) {
  const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 2});
  ModelLoadOptions options;
  options.directory = kModel + "/checkpoint";
  options.ranks = setup.ranks;
  options.context = kContext;
  options.max_batch_tokens = 256;
  options.max_batch_sequences = kConcurrency;
  options.max_logit_rows = kConcurrency;
  options.block_size = kBlockSize;
  options.vocab_limit = model.tokenizer->vocab_size();
  if (setup.blocks > 0) {
    // MLA: every rank stores 6 layers x (128 + 32) floats per token.
    options.kv_memory = setup.blocks * kBlockSize * 6 * 160 * 4 * setup.ranks;
  }
  auto runner = RankedModelRunner::load(*backend, options);
  EXPECT_TRUE(runner.ok()) << runner.status().message();
  if (!runner.ok()) {
    return nullptr;
  }
  EXPECT_TRUE(setup.blocks == 0 || (*runner)->limits().num_blocks == setup.blocks);
  TextEngineParts parts;
  parts.runner = std::move(runner).value();
  parts.tokenizer = model.tokenizer;
  parts.chat_template = model.chat_template;
  parts.defaults.eos_token_ids = {*model.tokenizer->eos_id()};
  parts.engine.max_prefill_chunk = setup.chunk;
  parts.engine.prefix_cache = setup.cache;
  return std::make_unique<TextEngine>(std::move(parts));
}

Json message(const char* role, const std::string& content) {
  return Json::object({{"role", role}, {"content", content}});
}

/// Questions with up to four earlier turns; greedy and sampled, short and long answers.
std::vector<GenerationRequest> make_requests(const Model& model, size_t count) {
  const std::string file = read_file(kModel + "/heldout.jsonl").value();
  std::vector<std::pair<std::string, std::string>> turns;
  for (size_t at = 0; at < file.size();) {
    const size_t end = file.find('\n', at);
    const Json line = parse_json(file.substr(at, end - at)).value();
    turns.emplace_back(line.find("question")->as_string(), line.find("answer")->as_string());
    at = end + 1;
  }
  std::mt19937_64 rng(20251124);
  std::vector<GenerationRequest> requests;
  while (requests.size() < count) {
    JsonArray messages;
    for (uint64_t i = rng() % 5; i > 0; --i) {
      // From few, so that prompts begin alike.
      const auto& turn = turns[(rng() % 4) * 97];
      messages.push_back(message("user", turn.first));
      messages.push_back(message("assistant", turn.second));
    }
    messages.push_back(message("user", turns[rng() % turns.size()].first));
    const ChatTemplateInput input{.messages = Json(std::move(messages))};
    auto prompt = make_chat_prompt(*model.chat_template, *model.tokenizer, input);
    EXPECT_TRUE(prompt.ok()) << prompt.status().message();
    GenerationRequest request;
    request.prompt = std::move(prompt->tokens);
    request.sampling.temperature = rng() % 2 == 0 ? 0.0F : 1.5F;
    request.sampling.top_p = 0.95F;
    request.sampling.frequency_penalty = rng() % 8 == 0 ? 0.2F : 0.0F;
    request.sampling.seed = rng();
    // In the full run most grow to several times their prompt: the pool is full again and again.
    request.max_tokens = static_cast<int64_t>(full() ? 40 + rng() % 180 : 8 + rng() % 120);
    request.ignore_eos = full() ? rng() % 4 != 0 : rng() % 2 == 0;
    request.skip_special_tokens = false;
    requests.push_back(std::move(request));
  }
  return requests;
}

struct LoadRun {
  std::vector<Answer> answers;
  EngineStats stats;
  double seconds = 0;
};

LoadRun run(const Model& model,
            const std::vector<GenerationRequest>& requests,
            const LoadSetup& setup) {
  LoadRun out;
  out.answers.resize(requests.size());
  const std::unique_ptr<TextEngine> engine = start(model, setup);
  if (engine == nullptr) {
    return out;
  }
  std::counting_semaphore<> room(setup.concurrency);
  const auto begin = std::chrono::steady_clock::now();
  for (size_t i = 0; i < requests.size(); ++i) {
    room.acquire();
    const auto id =
        engine->generate(requests[i], std::make_shared<AnswerSink>(out.answers[i], room));
    EXPECT_TRUE(id.ok()) << id.status().message();
  }
  EXPECT_TRUE(engine->drain(std::chrono::minutes(10)));
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  out.stats = engine->stats();
  EXPECT_EQ(out.stats.kv_blocks_used, 0);
  return out;
}

TEST(TinyR1Load, EveryByteIsAsIfTheRequestWereAlone) {
  const Model model = load_text();
  const size_t count = full() ? 200 : 24;
  const std::vector<GenerationRequest> requests = make_requests(model, count);
  int64_t tokens = 0;
  for (const int ranks : {1, 2}) {
    const LoadRun alone = run(model, requests, {.ranks = ranks, .concurrency = 1});
    for (const Answer& answer : alone.answers) {
      ASSERT_TRUE(answer.finish == "stop" || answer.finish == "length") << answer.finish;
      tokens += ssize(answer.tokens.size());
    }
    printf("%d rank(s): %zu requests alone, %d tokens, %.1f s\n",
           ranks,
           count,
           static_cast<int>(alone.stats.generated_tokens),
           alone.seconds);
    std::vector<LoadSetup> setups;
    for (const bool cache : {false, true}) {
      for (const int64_t chunk : {16, 64, 512}) {
        // Otherwise one of each, spread over the ranks.
        if (full() || (chunk == 16 && cache && ranks == 1) ||
            (chunk == 64 && !cache && ranks == 2)) {
          setups.push_back({.ranks = ranks, .blocks = 34, .chunk = chunk, .cache = cache});
        }
      }
    }
    for (const LoadSetup& setup : setups) {
      const LoadRun loaded = run(model, requests, setup);
      printf(
          "%d rank(s), chunk %3d, cache %s: %d preemptions, %d of %d prompt tokens cached, %d "
          "evictions, %.1f s\n",
          setup.ranks,
          static_cast<int>(setup.chunk),
          setup.cache ? "on " : "off",
          static_cast<int>(loaded.stats.preemptions),
          static_cast<int>(loaded.stats.prefix_cache_hits),
          static_cast<int>(loaded.stats.prefix_cache_queries),
          static_cast<int>(loaded.stats.prefix_cache_evictions),
          loaded.seconds);
      for (size_t i = 0; i < requests.size(); ++i) {
        ASSERT_EQ(loaded.answers[i].text, alone.answers[i].text) << "request " << i;
        ASSERT_EQ(loaded.answers[i], alone.answers[i]) << "request " << i;
      }
      // The short run has fewer requests than may run at once.
      EXPECT_GE(loaded.stats.preemptions, full() ? count : count / 4);
      EXPECT_EQ(loaded.stats.prefix_cache_hits > 0, setup.cache);
    }
  }
  EXPECT_GT(tokens, ssize(count) * 20) << "the model must have said something";
}

}  // namespace
}  // namespace tutti
