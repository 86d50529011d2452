// A model that says what a test wants. Scripted: it plays a fixed reply from a delivery thread of
// its own. Manual: the test takes each generation and feeds its sink.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/language_model.h"
#include "serve/prompt_builder.h"

namespace tutti::testing {

/// One call of generate().
struct FakeGeneration {
  uint64_t id = 0;
  GenerationRequest request;
  std::shared_ptr<GenerationSink> sink;
  size_t next_piece = 0;  // scripted
  bool cancelled = false;
  std::chrono::steady_clock::time_point cancelled_at;

  /// Sends a piece of one choice.
  void say(const std::string& content, int32_t choice = 0) const;
  void think(const std::string& reasoning, int32_t choice = 0) const;
  void finish(FinishReason reason, int32_t choice = 0) const;
};

class FakeLanguageModel final : public LanguageModel {
 public:
  struct Options {
    std::string id = "fake/model 1";
    bool manual = false;
    std::chrono::microseconds step{200};  ///< between two pieces of a scripted reply
    int64_t max_context = 4096;
    int64_t vocab_size = 1000;
  };

  explicit FakeLanguageModel(Options options);
  ~FakeLanguageModel() override;

  const ModelInfo& info() const override { return info_; }

  const GenerationDefaults& defaults() const override { return defaults_; }

  const Tokenizer* tokenizer() const override { return nullptr; }

  const ChatTemplate* chat_template() const override { return nullptr; }

  Result<uint64_t> generate(GenerationRequest request,
                            std::shared_ptr<GenerationSink> sink) override;
  void cancel(uint64_t generation) override;
  Status health() const override;
  EngineStats stats() const override;

  /// The index-th generation so far; waits for it, nullptr after 5 s.
  std::shared_ptr<FakeGeneration> wait_generation(size_t index);
  /// True once it was cancelled; waits up to 5 s.
  bool wait_cancelled(const FakeGeneration& generation);
  size_t generations() const;
  size_t cancels() const;

  void fail_health(Status status);
  /// The next generate() fails with this.
  void fail_next(Status status);

  GenerationDefaults& mutable_defaults() { return defaults_; }

 private:
  void play();
  bool step_one(FakeGeneration& generation);

  Options options_;
  ModelInfo info_;
  GenerationDefaults defaults_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<FakeGeneration>> all_;
  std::deque<std::shared_ptr<FakeGeneration>> playing_;
  Status health_;
  Status next_failure_;
  size_t cancels_ = 0;
  uint64_t generated_tokens_ = 0;
  bool stopping_ = false;
  std::thread delivery_;
};

/// One token id per byte. Some contents of the last message ask for mischief: "throw",
/// "unsupported". The content "thinking" makes a reply with reasoning.
class FakePromptBuilder final : public PromptBuilder {
 public:
  Result<PreparedChat> chat(const Json& messages,
                            const Json* tools,
                            const JsonObject& kwargs) override;
  Result<std::vector<int32_t>> completion(const std::string& text) override;

  JsonObject last_kwargs() const;
  std::string last_messages() const;

 private:
  mutable std::mutex mutex_;
  JsonObject kwargs_;
  std::string messages_;
};

/// The pieces of a scripted reply. A request that ignores EOS repeats them without end.
const std::vector<std::string>& reply_pieces();
const std::vector<std::string>& reasoning_pieces();

}  // namespace tutti::testing
