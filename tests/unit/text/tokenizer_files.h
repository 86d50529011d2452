// Tokenizers made from the documents of tokenizer_json.h.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "text/tokenizer.h"
#include "tokenizer_json.h"

namespace tutti {

inline std::shared_ptr<const Tokenizer> make_tokenizer(const Json& file,
                                                       const Json* config = nullptr) {
  auto tokenizer = Tokenizer::from_json(file, config);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

/// The message of a refused file; fails the test if it loads.
inline std::string load_error(const Json& file, const Json* config = nullptr) {
  const auto tokenizer = Tokenizer::from_json(file, config);
  EXPECT_FALSE(tokenizer.ok());
  return tokenizer.status().message();
}

inline std::vector<int32_t> encode(const Tokenizer& tokenizer,
                                   std::string_view text,
                                   EncodeOptions options = {}) {
  const auto ids = tokenizer.encode(text, options);
  EXPECT_TRUE(ids.ok()) << ids.status().message();
  return ids.ok() ? *ids : std::vector<int32_t>{};
}

/// Ids of the bytes of `text`.
inline std::vector<int32_t> byte_ids(std::string_view text) {
  std::vector<int32_t> ids;
  for (const char c : text) {
    ids.push_back(static_cast<unsigned char>(c));
  }
  return ids;
}

}  // namespace tutti
