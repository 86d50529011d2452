// What all kinds of tokenizer files are read into alike.
#pragma once
#include <optional>
#include <string_view>

#include "base/json.h"
#include "text/tokenizer.h"

namespace tutti {

class TokenizerParts {
 public:
  /// One table of ids from the vocabulary and the added tokens.
  static void list_ids(Tokenizer& tokenizer);

  /// bos_token, eos_token, add_bos_token and add_eos_token of tokenizer_config.json.
  static Status read_config(const Json& json, Tokenizer& tokenizer);

 private:
  static Result<std::optional<int32_t>> named_token(const JsonObject& config,
                                                    std::string_view key,
                                                    const Tokenizer& tokenizer);
};

}  // namespace tutti
