// A LanguageModel over Engine: checks requests, makes sequences, turns tokens into text.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "engine/constrain.h"
#include "engine/engine.h"
#include "engine/generation.h"
#include "engine/language_model.h"
#include "engine/request_check.h"
#include "engine/token_text.h"

namespace tutti {

struct TextEngineParts {
  /// max_context and vocab_size are taken from the runner.
  ModelInfo info;
  GenerationDefaults defaults;
  EngineConfig engine;
  std::unique_ptr<ModelRunner> runner;
  std::shared_ptr<const Tokenizer> tokenizer;  ///< nullptr: ids only
  std::shared_ptr<const ChatTemplate> chat_template;
  std::shared_ptr<const TokenText> text;  ///< nullptr: made from `tokenizer`
};

class TextEngine final : public LanguageModel {
 public:
  explicit TextEngine(TextEngineParts parts);
  ~TextEngine() override;

  const ModelInfo& info() const override { return info_; }

  const GenerationDefaults& defaults() const override { return defaults_; }

  Result<Prompt> prepare(const ChatInput& chat) const override;
  Result<Prompt> prepare(const std::string& text) const override;

  const TokenText* token_text() const override { return text_.get(); }

  Result<std::shared_ptr<const TokenGrammar>> constrain(
      const OutputWish& wish,
      const OutputForm& form,
      std::span<const int32_t> stop_ids) const override;

  /// max_tokens is lowered to what the context has left unless it must fit. Besides the errors of
  /// LanguageModel: kOutOfMemory if the prompt fits the context and not the KV memory, kUnsupported
  /// for stop strings or bad words without a tokenizer.
  Result<uint64_t> generate(GenerationRequest request,
                            std::shared_ptr<GenerationSink> sink) override;
  void cancel(uint64_t generation) override;
  Status health() const override;
  EngineStats stats() const override;

  /// See Engine.
  bool drain(std::chrono::milliseconds timeout) { return engine_.drain(timeout); }

  void shutdown() { engine_.shutdown(); }

 private:
  std::vector<SequenceRequest> make_sequences(GenerationRequest request,
                                              LogitRulesPtr rules,
                                              uint64_t first_id) const;

  ModelInfo info_;
  GenerationDefaults defaults_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const ChatTemplate> chat_template_;
  std::shared_ptr<const TokenText> text_;
  std::unique_ptr<Constrainer> constrainer_;  // nullptr without text
  GenerationTable table_;
  std::atomic<uint64_t> next_id_ = 1;
  GenerationLimits limits_;
  Engine engine_;  // last: it ends before what its sinks use
};

}  // namespace tutti
