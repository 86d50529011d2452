#include "engine/tokenizer_text.h"

#include <utility>

#include "text/incremental_decoder.h"
#include "text/tokenizer.h"

namespace tutti {
namespace {

class DecoderStream final : public TextStream {
 public:
  DecoderStream(const Tokenizer& tokenizer, bool skip_special)
      : decoder_(tokenizer, skip_special) {}

  std::string push(int32_t token) override { return decoder_.push(token); }

  std::string finish() override { return decoder_.finish(); }

 private:
  IncrementalDecoder decoder_;
};

class TokenizerText final : public TokenText {
 public:
  explicit TokenizerText(std::shared_ptr<const Tokenizer> tokenizer)
      : tokenizer_(std::move(tokenizer)) {}

  std::unique_ptr<TextStream> open(bool skip_special_tokens) const override {
    return std::make_unique<DecoderStream>(*tokenizer_, skip_special_tokens);
  }

  std::string token_bytes(int32_t token) const override {
    return std::string(tokenizer_->token_bytes(token));
  }

  bool is_special(int32_t token) const override { return tokenizer_->is_special(token); }

  Result<std::vector<int32_t>> encode(std::string_view text) const override {
    return tokenizer_->encode(text, {.add_special_tokens = false, .parse_special = true});
  }

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace

std::shared_ptr<const TokenText> make_token_text(std::shared_ptr<const Tokenizer> tokenizer) {
  return tokenizer == nullptr ? nullptr : std::make_shared<TokenizerText>(std::move(tokenizer));
}

}  // namespace tutti
