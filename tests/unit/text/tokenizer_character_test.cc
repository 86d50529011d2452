// BPE over characters with byte fallback (Gemma 3's form): ids, cutting at spaces, decoding,
// refusals.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/utf8.h"
#include "text/incremental_decoder.h"
#include "tokenizer_files.h"

namespace tutti {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json without_bytes(Json file) {
  Json& model = *file.as_object().find("model");
  model.as_object().set("byte_fallback", false);
  return file;
}

int32_t id(const Tokenizer& t, std::string_view token) {
  return t.token_id(token).value_or(-1);
}

TEST(CharacterBpe, MergesCharactersAndSpaces) {
  const auto t = make_tokenizer(character_file());
  EXPECT_THAT(encode(*t, "ab ab"), ElementsAre(id(*t, "ab"), id(*t, "\u2581ab")));
  EXPECT_THAT(encode(*t, "  ab"), ElementsAre(id(*t, "\u2581\u2581"), id(*t, "ab")));
  EXPECT_THAT(encode(*t, "a> <"), ElementsAre(id(*t, "a"), id(*t, ">\u2581<")));
  EXPECT_THAT(encode(*t, "\u4E2D\u4E2D\n\n"), ElementsAre(id(*t, "\u4E2D\u4E2D"), id(*t, "\n\n")));
  EXPECT_THAT(encode(*t, "\u00E9"), ElementsAre(1 + 0xC3, 1 + 0xA9));
  EXPECT_THAT(encode(*t, "<eos>a"), ElementsAre(400, id(*t, "a")));
  EXPECT_THAT(encode(*t, "<0x41>"),
              ElementsAre(id(*t, "<"), 1 + '0', 1 + 'x', 1 + '4', 1 + '1', id(*t, ">")));
}

// unk_token where there are no fallback bytes; runs of it are one token with fuse_unk.
TEST(CharacterBpe, UnknownCharacters) {
  const auto fused = make_tokenizer(without_bytes(character_file()));
  EXPECT_THAT(encode(*fused, "aX\u00E9b"), ElementsAre(id(*fused, "a"), 0, id(*fused, "b")));
  EXPECT_THAT(encode(*fused, "X X"), ElementsAre(0, id(*fused, "\u2581"), 0));
  Json file = without_bytes(character_file());
  file.as_object().find("model")->as_object().set("fuse_unk", false);
  const auto apart = make_tokenizer(file);
  EXPECT_THAT(encode(*apart, "aX\u00E9b"), ElementsAre(id(*apart, "a"), 0, 0, id(*apart, "b")));
}

// The textbook algorithm on the whole text: words are merged apart from each other, with the same
// result.
TEST(CharacterBpe, CuttingAtSpacesChangesNothing) {
  const auto t = make_tokenizer(character_file());
  const Json file = character_file();
  const JsonArray& list = file.find("model")->find("merges")->as_array();
  const auto plainly = [&](std::string_view text) {
    std::vector<std::string> symbols;
    for (size_t i = 0; i < text.size();) {
      const auto length = static_cast<size_t>(decode_utf8(text, i).length);
      symbols.emplace_back(text[i] == ' ' ? "\u2581" : text.substr(i, length));
      i += length;
    }
    while (true) {
      size_t best = list.size();
      size_t at = 0;
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        for (size_t rank = 0; rank < best; ++rank) {
          if (list[rank].as_array()[0].as_string() == symbols[i] &&
              list[rank].as_array()[1].as_string() == symbols[i + 1]) {
            best = rank;
            at = i;
          }
        }
      }
      if (best == list.size()) {
        break;
      }
      symbols[at] += symbols[at + 1];
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
    std::vector<int32_t> ids;
    for (const std::string& symbol : symbols) {
      ids.push_back(id(*t, symbol));
    }
    return ids;
  };
  const unsigned seed = 3;
  std::mt19937 random(seed);
  const std::vector<std::string> characters = {" ", " ", "a", "b", "c", "<", ">", "\u4E2D", "\n"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (size_t n = 1 + random() % 30; n > 0; --n) {
      text += characters[random() % characters.size()];
    }
    ASSERT_EQ(encode(*t, text), plainly(text)) << "seed=" << seed << " text=" << text;
  }
}

TEST(CharacterBpe, DecodesBytesInRuns) {
  const auto t = make_tokenizer(character_file());
  for (const char* text : {"ab  ab\n", "\u00E9\u4E2D \U0001F600", "", " ", "<0x41>"}) {
    EXPECT_EQ(t->decode(encode(*t, text)), text);
  }
  const auto byte = [](int b) { return 1 + b; };
  const std::vector<int32_t> bad = {
      byte(0xC3), byte(0xA9), byte(0xE4), id(*t, "a"), byte(0x41), 400};
  // As ByteFallback has it: a run that is no valid UTF-8 is lost byte by byte.
  EXPECT_EQ(t->decode(bad), "\uFFFD\uFFFD\uFFFDaA<eos>");
  EXPECT_EQ(t->decode(bad, /*skip_special=*/true), "\uFFFD\uFFFD\uFFFDaA");
  const unsigned seed = 9;
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    std::vector<int32_t> ids;
    for (size_t n = random() % 12; n > 0; --n) {
      ids.push_back(static_cast<int32_t>(random() % (random() % 2 == 0 ? 402U : 256U)));
    }
    IncrementalDecoder decoder(*t);
    std::string joined;
    for (const int32_t one : ids) {
      joined += decoder.push(one);
    }
    ASSERT_EQ(joined + decoder.finish(), t->decode(ids)) << "seed=" << seed << " round=" << round;
  }
}

TEST(CharacterBpe, RefusesByName) {
  const Json good = character_file();
  const auto model_with = [&](std::string_view key, Json value) {
    Json file = good;
    file.as_object().find("model")->as_object().set(std::string(key), std::move(value));
    return file;
  };
  Json no_unknown = without_bytes(good);
  no_unknown.as_object().find("model")->as_object().set("unk_token", nullptr);
  EXPECT_THAT(load_error(no_unknown), HasSubstr("unk_token none"));
  EXPECT_THAT(load_error(model_with("unk_token", "<none>")), HasSubstr("\"<none>\""));
  EXPECT_THAT(load_error(with(good, "decoder", byte_level())), HasSubstr("ByteLevel"));
  EXPECT_THAT(load_error(with(good, "pre_tokenizer", byte_level())), HasSubstr("ByteLevel"));
  for (const char* type : {"Strip", "Metaspace", "WordPiece", "CTC", "BPEDecoder"}) {
    EXPECT_THAT(load_error(with(good, "decoder", Json::object({{"type", type}}))), HasSubstr(type));
  }
  for (const char* type : {"Prepend", "NFKC", "Lowercase", "Precompiled"}) {
    EXPECT_THAT(load_error(with(good, "normalizer", Json::object({{"type", type}}))),
                HasSubstr(type));
  }
  const Json regex = Json::object(
      {{"type", "Replace"}, {"pattern", Json::object({{"Regex", "a+"}})}, {"content", "b"}});
  EXPECT_THAT(load_error(with(good, "normalizer", regex)), HasSubstr("Regex"));
  const Json bomb = Json::object({{"type", "Replace"},
                                  {"pattern", Json::object({{"String", "a"}})},
                                  {"content", std::string(65, 'b')}});
  EXPECT_THAT(load_error(with(good, "normalizer", bomb)), HasSubstr("64-fold"));
}

}  // namespace
}  // namespace tutti
