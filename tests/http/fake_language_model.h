// A model that says what a test wants. Scripted: it plays a fixed reply from a delivery thread of
// its own. Manual: the test takes each generation and feeds its sink.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/answer_reader.h"
#include "engine/language_model.h"

namespace tutti::testing {

/// One call of generate().
struct FakeGeneration {
  uint64_t id = 0;
  GenerationRequest request;
  std::shared_ptr<GenerationSink> sink;
  size_t next_piece = 0;  // scripted
  bool cancelled = false;
  std::chrono::steady_clock::time_point cancelled_at;

  /// Sends a piece of one choice, read as the engine reads what a model says.
  void say(const std::string& content, int32_t choice = 0);
  void think(const std::string& reasoning, int32_t choice = 0) const;
  void finish(FinishReason reason, int32_t choice = 0);

 private:
  AnswerReader& reader(int32_t choice);

  std::map<int32_t, AnswerReader> readers_;
};

/// One token id per byte. Some contents of the last message ask for mischief: "throw",
/// "unsupported". The variable "unread" is not read. The content "thinking" makes a reply with
/// reasoning. Tools are called as by Hermes.
Result<Prompt> byte_prompt(const ChatInput& chat);
Result<Prompt> byte_prompt(const std::string& text);

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

  Result<Prompt> prepare(const ChatInput& chat) const override;

  Result<Prompt> prepare(const std::string& text) const override { return byte_prompt(text); }

  Result<std::shared_ptr<const TokenGrammar>> constrain(
      const OutputWish& wish,
      const OutputForm& form,
      std::span<const int32_t> stop_ids) const override;

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

  /// The last wish of an output that a request had.
  OutputWish last_wish() const;

  /// The last chat that was prepared.
  ChatInput last_chat() const;

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
  mutable ChatInput chat_;
  mutable OutputWish wish_;
  size_t cancels_ = 0;
  uint64_t generated_tokens_ = 0;
  bool stopping_ = false;
  bool stepping_ = false;  // one that is not in playing_ just now
  std::thread delivery_;
};

/// Another model behind byte_prompt(), which needs no tokenizer.
class ByteModel : public LanguageModel {
 public:
  explicit ByteModel(std::shared_ptr<LanguageModel> model) : model_(std::move(model)) {}

  const ModelInfo& info() const override { return model_->info(); }

  const GenerationDefaults& defaults() const override { return model_->defaults(); }

  Result<Prompt> prepare(const ChatInput& chat) const override { return byte_prompt(chat); }

  Result<Prompt> prepare(const std::string& text) const override { return byte_prompt(text); }

  Result<std::shared_ptr<const TokenGrammar>> constrain(
      const OutputWish& wish,
      const OutputForm& form,
      std::span<const int32_t> stop_ids) const override {
    return model_->constrain(wish, form, stop_ids);
  }

  Result<uint64_t> generate(GenerationRequest request,
                            std::shared_ptr<GenerationSink> sink) override {
    return model_->generate(std::move(request), std::move(sink));
  }

  void cancel(uint64_t generation) override { model_->cancel(generation); }

  Status health() const override { return model_->health(); }

  EngineStats stats() const override { return model_->stats(); }

 private:
  std::shared_ptr<LanguageModel> model_;
};

/// The pieces of a scripted reply. A request that ignores EOS repeats them without end.
const std::vector<std::string>& reply_pieces();
const std::vector<std::string>& reasoning_pieces();

}  // namespace tutti::testing
