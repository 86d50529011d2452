// What text engine tests share: a tokenizer of fixed pieces, a sink that records, a harness.
#pragma once
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "engine/fake_model_runner.h"
#include "engine/text_engine.h"

namespace tutti {

/// Token i is the bytes pieces[i]; ids beyond are "<i>".
class FakeTokenText final : public TokenText {
 public:
  explicit FakeTokenText(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}

  std::unique_ptr<TextStream> open(bool /*skip_special_tokens*/) const override {
    return std::make_unique<Stream>(*this);
  }

  std::string token_bytes(int32_t token) const override {
    const auto index = static_cast<size_t>(token);
    return index < pieces_.size() ? pieces_[index] : "<" + std::to_string(token) + ">";
  }

  bool is_special(int32_t /*token*/) const override { return false; }

  /// The longest piece first; every text must be made of pieces.
  Result<std::vector<int32_t>> encode(std::string_view text) const override {
    std::vector<int32_t> ids;
    while (!text.empty()) {
      size_t best = pieces_.size();
      for (size_t i = 0; i < pieces_.size(); ++i) {
        if (text.starts_with(pieces_[i]) &&
            (best == pieces_.size() || pieces_[i].size() > pieces_[best].size())) {
          best = i;
        }
      }
      if (best == pieces_.size() || pieces_[best].empty()) {
        return error(StatusCode::kUnsupported, "\"{}\" is no text of this vocabulary", text);
      }
      ids.push_back(static_cast<int32_t>(best));
      text.remove_prefix(pieces_[best].size());
    }
    return ids;
  }

 private:
  class Stream final : public TextStream {
   public:
    explicit Stream(const FakeTokenText& text) : text_(text) {}

    std::string push(int32_t token) override {
      held_ += text_.token_bytes(token);
      size_t end = 0;
      while (end < held_.size()) {
        const Utf8Char c = decode_utf8(held_, end);
        if (c.truncated) {
          break;
        }
        end += static_cast<size_t>(c.length);
      }
      const std::string out = replace_invalid_utf8(held_.substr(0, end));
      held_.erase(0, end);
      return out;
    }

    std::string finish() override { return replace_invalid_utf8(std::exchange(held_, {})); }

   private:
    const FakeTokenText& text_;
    std::string held_;
  };

  std::vector<std::string> pieces_;
};

/// Records one generation; any thread may wait for its end.
class RecordingSink final : public GenerationSink {
 public:
  void on_delta(GenerationDelta delta) override {
    const std::lock_guard lock(mutex_);
    const std::string content = text_of(delta.events, OutputEvent::Kind::kText);
    const std::string reasoning = text_of(delta.events, OutputEvent::Kind::kReasoning);
    bad_ |= ended_ || !is_valid_utf8(content) || !is_valid_utf8(reasoning);
    const auto choice = static_cast<size_t>(delta.choice);
    if (content_.size() <= choice) {
      content_.resize(choice + 1);
      reasoning_.resize(choice + 1);
      tokens_.resize(choice + 1);
      finish_.resize(choice + 1);
    }
    bad_ |= finish_[choice].has_value();
    content_[choice] += content;
    reasoning_[choice] += reasoning;
    tokens_[choice].insert(tokens_[choice].end(), delta.tokens.begin(), delta.tokens.end());
    finish_[choice] = delta.finish;
    deltas_.push_back(std::move(delta));
    changed_.notify_all();
  }

  void on_done(const GenerationUsage& usage) override {
    const std::lock_guard lock(mutex_);
    bad_ |= ended_;
    usage_ = usage;
    ended_ = true;
    changed_.notify_all();
  }

  void on_error(const Status& status) override {
    const std::lock_guard lock(mutex_);
    bad_ |= ended_;
    status_ = status;
    ended_ = true;
    changed_.notify_all();
  }

  bool wait(std::chrono::seconds timeout = std::chrono::seconds(30)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, [this] { return ended_; });
  }

  bool wait_for_delta() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(
        lock, std::chrono::seconds(30), [this] { return ended_ || !deltas_.empty(); });
  }

  // After wait().
  std::string content(size_t choice = 0) const {
    return choice < content_.size() ? content_[choice] : std::string();
  }

  std::string reasoning(size_t choice = 0) const {
    return choice < reasoning_.size() ? reasoning_[choice] : std::string();
  }

  std::vector<int32_t> tokens(size_t choice = 0) const {
    return choice < tokens_.size() ? tokens_[choice] : std::vector<int32_t>();
  }

  std::optional<FinishReason> finish(size_t choice = 0) const {
    return choice < finish_.size() ? finish_[choice] : std::nullopt;
  }

  /// All events of all deltas, texts that go on joined.
  OutputEvents events() const {
    OutputEvents all;
    for (const GenerationDelta& delta : deltas_) {
      for (const OutputEvent& event : delta.events) {
        if (event.kind == OutputEvent::Kind::kText || event.kind == OutputEvent::Kind::kReasoning) {
          add_text(all, event.kind, event.text);
        } else {
          all.push_back(event);
        }
      }
    }
    return all;
  }

  const std::vector<GenerationDelta>& deltas() const { return deltas_; }

  const Status& status() const { return status_; }

  const GenerationUsage& usage() const { return usage_; }

  /// No call after the end, no delta after a choice's finish, all text valid UTF-8.
  bool well_behaved() const { return !bad_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> content_;
  std::vector<std::string> reasoning_;
  std::vector<std::vector<int32_t>> tokens_;
  std::vector<std::optional<FinishReason>> finish_;
  std::vector<GenerationDelta> deltas_;
  Status status_;
  GenerationUsage usage_;
  bool ended_ = false;
  bool bad_ = false;
};

/// Lets the runner's steps wait until open() is called.
class Gate {
 public:
  Status pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    return {};
  }

  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

  void wait_for_step() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return arrived_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
};

inline RunnerLimits fake_limits() {
  return {.block_size = 4,
          .num_blocks = 64,
          .max_batch_tokens = 16,
          .max_batch_sequences = 8,
          .max_context = 128,
          .vocab_size = 300};
}

constexpr int32_t kEos = 299;  // the last id of fake_limits()

/// An engine whose model says `script` (token ids) and then EOS, `per_step` tokens a step.
struct Harness {
  explicit Harness(std::vector<std::string> pieces,
                   std::vector<int32_t> script_tokens = {},
                   size_t tokens_per_step = 1)
      : script(std::move(script_tokens)), per_step(tokens_per_step) {
    limits.max_tokens_per_step = static_cast<int64_t>(per_step);
    auto fake = std::make_unique<FakeModelRunner>(limits);
    runner = fake.get();
    if (!script.empty()) {
      runner->set_token_hook([this](const SampleRow& row, FakeModelRunner::Sampled& out) {
        out.tokens.clear();
        for (size_t i = 0; i < per_step; ++i) {
          const size_t at = usize(row.output_position) + i;
          SampledToken token;
          token.token = at < script.size() ? script[at] : kEos;
          token.logprob = -0.5F;
          token.top = {{.token = 0, .logprob = -0.25F}};
          out.tokens.push_back(token);
        }
      });
    }
    parts.runner = std::move(fake);
    parts.defaults.eos_token_ids = {kEos};
    parts.text = std::make_shared<FakeTokenText>(std::move(pieces));
  }

  /// A failed assertion must not leave the engine waiting.
  ~Harness() { gate.open(); }

  TextEngine& start() {
    engine = std::make_unique<TextEngine>(std::move(parts));
    return *engine;
  }

  std::shared_ptr<RecordingSink> run(GenerationRequest request) {
    auto sink = std::make_shared<RecordingSink>();
    const auto id = (engine ? *engine : start()).generate(std::move(request), sink);
    EXPECT_TRUE(id.ok()) << id.status().message();
    EXPECT_TRUE(sink->wait());
    EXPECT_TRUE(sink->well_behaved());
    return sink;
  }

  RunnerLimits limits = fake_limits();
  Gate gate;
  std::vector<int32_t> script;
  size_t per_step;
  TextEngineParts parts;
  FakeModelRunner* runner = nullptr;
  std::unique_ptr<TextEngine> engine;
};

inline GenerationRequest prompt(std::vector<int32_t> ids = {1, 2, 3}) {
  GenerationRequest request;
  request.prompt = std::move(ids);
  request.request_id = "test";
  return request;
}

}  // namespace tutti
