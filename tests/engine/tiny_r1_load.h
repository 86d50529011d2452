// The model that ships with the program, requests to it, and what it answers: shared by the load
// test and the soak.
#pragma once
#include <cstdlib>
#include <memory>
#include <random>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "backend/backend.h"
#include "base/file.h"
#include "base/json.h"
#include "engine/prompt.h"
#include "engine/ranks/ranked_model_runner.h"
#include "engine/text_engine.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tutti::test {

constexpr int64_t kConcurrency = 32;
constexpr int64_t kBlockSize = 16;
constexpr int64_t kContext = 512;

/// TUTTI_TINY_R1 names the directory where programs run without their sources.
inline std::string tiny_r1_directory() {
  const char* given = std::getenv("TUTTI_TINY_R1");
  return given != nullptr ? given : std::string(TUTTI_SOURCE_DIR) + "/models/tiny-r1";
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
    for (const OutputEvent& event : delta.events) {
      answer_.text += event.text;
    }
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

inline Model load_text() {
  const std::string directory = tiny_r1_directory() + "/checkpoint";
  auto tokenizer = Tokenizer::load(directory);
  auto chat_template = ChatTemplate::load(directory);
  EXPECT_TRUE(tokenizer.ok() && chat_template.ok());
  return {std::move(tokenizer).value(), std::move(chat_template).value()};
}

/// nullptr, and a failure of the test, if the model cannot be loaded.
inline std::unique_ptr<TextEngine> start(Backend& backend,
                                         const Model& model,
                                         const LoadSetup& setup) {
  ModelLoadOptions options;
  options.directory = tiny_r1_directory() + "/checkpoint";
  options.ranks = setup.ranks;
  options.context = kContext;
  options.max_batch_tokens = 256;
  options.max_batch_sequences = kConcurrency;
  options.max_logit_rows = kConcurrency;
  options.block_size = kBlockSize;
  options.vocab_limit = model.tokenizer->vocab_size();
  if (setup.blocks > 0) {
    // MLA: every rank stores 6 layers x (128 + 32) values per token. All ranks are in one pool.
    const int64_t value_bytes = dtype_size(backend.default_compute());
    options.kv_memory = setup.blocks * kBlockSize * 6 * 160 * value_bytes * setup.ranks;
  }
  auto runner = RankedModelRunner::load(backend, options);
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

inline Json message(const char* role, const std::string& content) {
  return Json::object({{"role", role}, {"content", content}});
}

/// Questions with up to four earlier turns; greedy and sampled, short and long answers. `grow`:
/// most answers are several times their prompt, so that a small pool is full again and again.
inline std::vector<GenerationRequest> make_requests(const Model& model, size_t count, bool grow) {
  const std::string file = read_file(tiny_r1_directory() + "/heldout.jsonl").value();
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
    ChatInput input;
    input.messages = Json(std::move(messages));
    auto prompt = make_chat_prompt(*model.chat_template, *model.tokenizer, input, 0);
    EXPECT_TRUE(prompt.ok()) << prompt.status().message();
    GenerationRequest request;
    request.prompt = std::move(prompt->tokens);
    request.sampling.temperature = rng() % 2 == 0 ? 0.0F : 1.5F;
    request.sampling.top_p = 0.95F;
    request.sampling.frequency_penalty = rng() % 8 == 0 ? 0.2F : 0.0F;
    request.sampling.seed = rng();
    request.max_tokens = static_cast<int64_t>(grow ? 40 + rng() % 180 : 8 + rng() % 120);
    request.ignore_eos = grow ? rng() % 4 != 0 : rng() % 2 == 0;
    request.skip_special_tokens = false;
    requests.push_back(std::move(request));
  }
  return requests;
}

}  // namespace tutti::test
