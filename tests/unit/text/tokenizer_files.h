// Small tokenizer.json documents for the tests: all 256 bytes as tokens 0..255, then what the test
// asks for.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "text/bpe.h"
#include "text/tokenizer.h"

namespace tutti {

inline constexpr std::string_view kDeepSeekMain =
    "[!\"#$%&'()*+,\\-./"
    ":;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
    " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
inline constexpr std::string_view kQwen2 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

inline Json split_step(std::string_view regex,
                       const char* behavior = "Isolated",
                       bool invert = false) {
  return Json::object({{"type", "Split"},
                       {"pattern", Json::object({{"Regex", regex}})},
                       {"behavior", behavior},
                       {"invert", invert}});
}

inline Json byte_level(bool use_regex = false, bool add_prefix_space = false) {
  return Json::object({{"type", "ByteLevel"},
                       {"add_prefix_space", add_prefix_space},
                       {"trim_offsets", true},
                       {"use_regex", use_regex}});
}

inline Json sequence(JsonArray steps) {
  return Json::object({{"type", "Sequence"}, {"pretokenizers", Json(std::move(steps))}});
}

inline Json deepseek_pre_tokenizer() {
  return sequence({split_step("\\p{N}{1,3}"),
                   split_step("[一-龥぀-ゟ゠-ヿ]+"),
                   split_step(kDeepSeekMain),
                   byte_level()});
}

inline Json added_token(int id, std::string_view content, bool special = false) {
  return Json::object({{"id", id},
                       {"content", content},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", special}});
}

/// Vocabulary strings of all bytes, id = byte.
inline JsonObject byte_vocab() {
  JsonObject vocab;
  for (int byte = 0; byte < 256; ++byte) {
    const auto as_char = static_cast<char>(byte);
    vocab.append(vocab_string_of_bytes(std::string_view(&as_char, 1)), byte);
  }
  return vocab;
}

/// Merges of raw texts; each result is the next id from 256 on.
inline Json bpe_model(const std::vector<std::pair<std::string, std::string>>& merges) {
  JsonObject vocab = byte_vocab();
  JsonArray list;
  int id = 256;
  for (const auto& [left, right] : merges) {
    const std::string joined = vocab_string_of_bytes(left + right);
    if (!vocab.contains(joined)) {
      vocab.append(joined, id++);
    }
    list.emplace_back(Json::array({vocab_string_of_bytes(left), vocab_string_of_bytes(right)}));
  }
  return Json::object({{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", false},
                       {"vocab", Json(std::move(vocab))},
                       {"merges", Json(std::move(list))}});
}

/// A whole file in DeepSeek-V3's form with these merges and added tokens.
inline Json tokenizer_file(const std::vector<std::pair<std::string, std::string>>& merges = {},
                           JsonArray added = {}) {
  return Json::object(
      {{"version", "1.0"},
       {"truncation", nullptr},
       {"padding", nullptr},
       {"added_tokens", Json(std::move(added))},
       {"normalizer", Json::object({{"type", "Sequence"}, {"normalizers", Json::array({})}})},
       {"pre_tokenizer", deepseek_pre_tokenizer()},
       {"post_processor", byte_level()},
       {"decoder", byte_level()},
       {"model", bpe_model(merges)}});
}

inline Json with(Json file, std::string_view key, Json value) {
  file.as_object().set(std::string(key), std::move(value));
  return file;
}

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
