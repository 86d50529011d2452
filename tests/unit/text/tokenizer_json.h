// Small tokenizer.json documents for the tests: all 256 bytes as tokens 0..255, then what the test
// asks for.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/bpe.h"

namespace tutti {

inline constexpr std::string_view kDeepSeekMain =
    "[!\"#$%&'()*+,\\-./"
    ":;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
    " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
inline constexpr std::string_view kQwen2 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

inline constexpr std::string_view kLlama3 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
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

/// A byte-level file with merges inside characters, of whole characters and across their borders.
inline Json byte_file() {
  return tokenizer_file({{"\xE4", "\xB8"},
                         {"\xE4\xB8", "\xAD"},
                         {"\xC3", "\xA9"},
                         {" ", "\xE4"},
                         {"\xE4\xB8\xAD", "\xE4\xB8\xAD"},
                         {" ", "a"},
                         {"e", "s"},
                         {" a", "es"},
                         {"1", "2"}},
                        {added_token(300, "<a>"), added_token(301, "<|b|>", true)});
}

/// A file in Gemma 3's form: spaces become U+2581, unknown characters become bytes.
inline Json character_file() {
  JsonObject vocab;
  int id = 0;
  vocab.append("<unk>", id++);
  for (int byte = 0; byte < 256; ++byte) {
    vocab.append(fmt::format("<0x{:02X}>", byte), id++);
  }
  for (const char* token : {"\u2581",
                            "a",
                            "b",
                            "c",
                            ">",
                            "<",
                            "\u4E2D",
                            "\n",
                            "ab",
                            "cc",
                            "\n\n",
                            "\u2581a",
                            "\u2581\u2581",
                            "\u2581<",
                            ">\u2581<",
                            "\u2581ab",
                            "\u4E2D\u4E2D",
                            "b>"}) {
    vocab.append(token, id++);
  }
  JsonArray merges;
  for (const auto& [left, right] :
       std::vector<std::pair<const char*, const char*>>{{"\u2581", "\u2581"},
                                                        {"a", "b"},
                                                        {"\u2581", "a"},
                                                        {"\u2581a", "b"},
                                                        {"\u2581", "ab"},
                                                        {"\u2581", "<"},
                                                        {"b", ">"},
                                                        {">", "\u2581<"},
                                                        {"c", "c"},
                                                        {"\n", "\n"},
                                                        {"\u4E2D", "\u4E2D"}}) {
    merges.emplace_back(Json::array({left, right}));
  }
  const auto literal = [](const char* text) { return Json::object({{"String", text}}); };
  const Json model = Json::object({{"type", "BPE"},
                                   {"unk_token", "<unk>"},
                                   {"fuse_unk", true},
                                   {"byte_fallback", true},
                                   {"ignore_merges", false},
                                   {"vocab", Json(std::move(vocab))},
                                   {"merges", Json(std::move(merges))}});
  return Json::object(
      {{"added_tokens",
        Json(JsonArray{added_token(0, "<unk>", true), added_token(400, "<eos>", true)})},
       {"normalizer",
        Json::object({{"type", "Replace"}, {"pattern", literal(" ")}, {"content", "\u2581"}})},
       {"pre_tokenizer",
        Json::object({{"type", "Split"},
                      {"pattern", literal(" ")},
                      {"behavior", "MergedWithPrevious"},
                      {"invert", false}})},
       {"decoder",
        Json::object({{"type", "Sequence"},
                      {"decoders",
                       Json::array({Json::object({{"type", "Replace"},
                                                  {"pattern", literal("\u2581")},
                                                  {"content", " "}}),
                                    Json::object({{"type", "ByteFallback"}}),
                                    Json::object({{"type", "Fuse"}})})}})},
       {"model", model}});
}

}  // namespace tutti
