// Merging: order, ties, long pieces against a plain reference, bad model sections.
#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizer_files.h"

namespace tutti {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

BpeModel make_model(const Json& json) {
  auto model = BpeModel::from_json(json, "model");
  EXPECT_TRUE(model.ok()) << model.status().message();
  return *std::move(model);
}

std::vector<int32_t> merge(const BpeModel& model, std::string_view piece) {
  std::vector<int32_t> ids;
  BpeScratch scratch;
  const Status status = model.encode(piece, ids, scratch);
  EXPECT_TRUE(status.ok()) << status.message();
  return ids;
}

// The textbook algorithm: find the best pair, leftmost first, merge it, start over.
std::vector<int32_t> merge_plainly(const std::vector<std::pair<std::string, std::string>>& merges,
                                   const BpeModel& model,
                                   std::string_view piece) {
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (size_t i = 0; i < merges.size(); ++i) {
    ranks[merges[i]] = i;
  }
  std::vector<std::string> symbols;
  for (const char c : piece) {
    symbols.emplace_back(1, c);
  }
  while (true) {
    size_t best = SIZE_MAX;
    size_t at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = ranks.find({symbols[i], symbols[i + 1]});
      if (found != ranks.end() && found->second < best) {
        best = found->second;
        at = i;
      }
    }
    if (best == SIZE_MAX) {
      break;
    }
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  std::vector<int32_t> ids;
  for (const std::string& symbol : symbols) {
    ids.push_back(model.find(symbol).value_or(-1));
  }
  return ids;
}

TEST(BpeAlphabet, EveryByteHasItsCharacter) {
  EXPECT_EQ(vocab_string_of_bytes(" \n\t"), "ĠĊĉ");
  EXPECT_EQ(vocab_string_of_bytes("\xAD\x7F\xFF"), "Ńġÿ");
  for (int byte = 0; byte < 256; ++byte) {
    const std::string one(1, static_cast<char>(byte));
    EXPECT_EQ(bytes_of_vocab_string(vocab_string_of_bytes(one)), one);
  }
  EXPECT_EQ(bytes_of_vocab_string("a b"), std::nullopt);
  EXPECT_EQ(bytes_of_vocab_string("<｜"), std::nullopt);
  EXPECT_EQ(bytes_of_vocab_string("ń"), std::nullopt);  // U+0144, one past the last
}

TEST(Bpe, LowestRankFirstThenLeftmost) {
  const BpeModel model = make_model(bpe_model({{"b", "c"}, {"a", "b"}, {"a", "a"}, {"aa", "a"}}));
  EXPECT_THAT(merge(model, "abc"), ElementsAre('a', 256));  // "bc" is older than "ab"
  EXPECT_THAT(merge(model, "ab"), ElementsAre(257));
  EXPECT_THAT(merge(model, "aaa"), ElementsAre(259));
  EXPECT_THAT(merge(model, "aaaa"), ElementsAre(258, 258));  // both "aa" before "aa"+"a"
  EXPECT_THAT(merge(model, "aaaaa"), ElementsAre(258, 259));
}

TEST(Bpe, VocabularyEntryThatMergesDoNotReach) {
  Json json = bpe_model({{"b", "c"}});
  json.as_object().find("vocab")->as_object().append("abc", 257);
  EXPECT_THAT(merge(make_model(json), "abc"), ElementsAre('a', 256));
  json.as_object().set("ignore_merges", true);
  EXPECT_THAT(merge(make_model(json), "abc"), ElementsAre(257));
}

TEST(Bpe, PairGivenTwiceTakesItsLaterRank) {
  const BpeModel model = make_model(bpe_model({{"a", "b"}, {"b", "c"}, {"a", "b"}}));
  EXPECT_THAT(merge(model, "abc"), ElementsAre('a', 257));
}

TEST(Bpe, MergesAsStrings) {
  Json json = bpe_model({{"a", "b"}});
  json.as_object().set("merges", Json::array({"a b"}));
  EXPECT_THAT(merge(make_model(json), "ab"), ElementsAre(256));
}

TEST(Bpe, ShortAndLongPiecesAgreeWithThePlainAlgorithm) {
  const unsigned seed = 20240607;
  std::mt19937 random(seed);
  for (int round = 0; round < 20; ++round) {
    // Merge lists in random order, so that new pairs often rank before older ones.
    std::vector<std::string> words = {"a", "b", "c"};
    std::vector<std::pair<std::string, std::string>> merges;
    while (merges.size() < 40) {
      const std::pair<std::string, std::string> pair = {words[random() % words.size()],
                                                        words[random() % words.size()]};
      if (pair.first.size() + pair.second.size() <= 12 &&
          std::find(merges.begin(), merges.end(), pair) == merges.end()) {
        merges.push_back(pair);
        words.push_back(pair.first + pair.second);
      }
    }
    std::shuffle(merges.begin(), merges.end(), random);
    const BpeModel model = make_model(bpe_model(merges));
    for (const size_t length : {1U, 2U, 7U, 63U, 64U, 65U, 66U, 150U, 400U}) {
      std::string piece;
      const size_t run = round % 2 == 0 ? 1 : 90;  // letters at random, or runs of one letter
      while (piece.size() < length) {
        piece.append(1 + random() % run, static_cast<char>('a' + random() % 3));
      }
      EXPECT_EQ(merge(model, piece), merge_plainly(merges, model, piece))
          << "seed=" << seed << " round=" << round << " piece=" << piece;
    }
  }
}

// Gemma's lists for runs of spaces: the longest first, so that each new pair ranks before those
// that wait. A quadratic algorithm would not end here.
TEST(Bpe, LongestFirstListsAreMergedInLinearTime) {
  std::vector<std::pair<std::string, std::string>> merges;
  for (size_t length = 8; length >= 2; --length) {
    for (size_t left = length - 1; left >= 1; --left) {
      merges.emplace_back(std::string(left, 'a'), std::string(length - left, 'a'));
    }
  }
  const BpeModel model = make_model(bpe_model(merges));
  for (const size_t length : {1U, 7U, 8U, 9U, 63U, 64U, 65U, 200U, 401U}) {
    const std::string piece = std::string(length, 'a') + "b" + std::string(length / 2, 'a');
    EXPECT_EQ(merge(model, piece), merge_plainly(merges, model, piece)) << length;
  }
  const std::vector<int32_t> ids = merge(model, std::string(size_t{1} << 21, 'a'));
  EXPECT_EQ(ids, std::vector<int32_t>((size_t{1} << 21) / 8, *model.find("aaaaaaaa")));
}

// Merging may begin with whole characters, but only where that changes nothing: lists in which
// fragments join their neighbours early, late, or before the character is complete.
TEST(Bpe, CharactersOfSeveralBytesAgreeWithThePlainAlgorithm) {
  const unsigned seed = 20251125;
  std::mt19937 random(seed);
  const std::vector<std::string> characters = {
      "\u4E2D", "\u56FD", "\u4E2E", "\u00E9", "\u00EA", "a", " ", "\U0001F600"};
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> words = {"a", " "};
    for (const std::string& character : characters) {
      for (const char byte : character) {
        words.emplace_back(1, byte);
      }
    }
    std::vector<std::pair<std::string, std::string>> merges;
    if (round % 2 == 0) {  // as training does: most characters early
      merges = {{"\xE4", "\xB8"}, {"\xE4\xB8", "\xAD"}, {"\xC3", "\xA9"}, {"\xE4\xB8", "\xAE"}};
      words.insert(words.end(), {"\xE4\xB8", "\u4E2D", "\u00E9", "\u4E2E"});
    }
    while (merges.size() < 30) {
      const std::pair<std::string, std::string> pair = {words[random() % words.size()],
                                                        words[random() % words.size()]};
      if (pair.first.size() + pair.second.size() <= 12 &&
          std::find(merges.begin(), merges.end(), pair) == merges.end()) {
        merges.push_back(pair);
        words.push_back(pair.first + pair.second);
      }
    }
    if (round % 3 == 0) {
      std::shuffle(merges.begin(), merges.end(), random);
    }
    const BpeModel model = make_model(bpe_model(merges));
    for (int text = 0; text < 30; ++text) {
      std::string piece;
      for (size_t n = 1 + random() % 40; n > 0; --n) {
        piece += characters[random() % (text % 2 == 0 ? 3 : characters.size())];
      }
      ASSERT_EQ(merge(model, piece), merge_plainly(merges, model, piece))
          << "seed=" << seed << " round=" << round << " piece=" << piece;
    }
  }
}

TEST(Bpe, MissingByteIsAnErrorOfTheText) {
  Json json = bpe_model({});
  JsonObject vocab;
  vocab.append("a", 0);
  json.as_object().set("vocab", Json(std::move(vocab)));
  const BpeModel model = make_model(json);
  EXPECT_THAT(merge(model, "aa"), ElementsAre(0, 0));
  std::vector<int32_t> ids;
  BpeScratch scratch;
  const Status status = model.encode("ab", ids, scratch);
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(), HasSubstr("byte 0x62"));
}

TEST(BpeFile, RefusesByNameAndPlace) {
  const auto message = [](std::string_view key, Json value) {
    Json json = bpe_model({{"a", "b"}});
    json.as_object().set(std::string(key), std::move(value));
    const auto model = BpeModel::from_json(json, "model");
    EXPECT_FALSE(model.ok()) << key;
    return model.status().message();
  };
  const auto vocab = [](Json id) { return Json::object({{"a", 0}, {"b", std::move(id)}}); };
  EXPECT_THAT(message("type", "Unigram"), HasSubstr("\"Unigram\""));
  EXPECT_THAT(message("type", "WordPiece"), HasSubstr("\"WordPiece\""));
  EXPECT_THAT(message("type", nullptr), HasSubstr("model: type"));
  EXPECT_THAT(message("dropout", 0.1), HasSubstr("dropout"));
  EXPECT_THAT(message("continuing_subword_prefix", "##"), HasSubstr("##"));
  EXPECT_THAT(message("end_of_word_suffix", "</w>"), HasSubstr("</w>"));
  EXPECT_THAT(message("vocab", nullptr), HasSubstr("missing or empty"));
  EXPECT_THAT(message("vocab", Json::array({1})), HasSubstr("vocab"));
  EXPECT_THAT(message("vocab", vocab(-1)), HasSubstr("model.vocab[\"b\"]"));
  EXPECT_THAT(message("vocab", vocab(int64_t{1} << 40)), HasSubstr("model.vocab[\"b\"]"));
  EXPECT_THAT(message("vocab", vocab(1e300)), HasSubstr("model.vocab[\"b\"]"));
  EXPECT_THAT(message("vocab", vocab("1")), HasSubstr("model.vocab[\"b\"]"));
  EXPECT_THAT(message("vocab", vocab(0)), HasSubstr("id 0 is given twice"));
  EXPECT_THAT(message("merges", Json::array({"a z\xC3\xA9"})),
              HasSubstr("is not in the vocabulary"));
  EXPECT_THAT(message("merges", Json::array({"b b"})), HasSubstr("model.merges[0]: \"bb\""));
  EXPECT_THAT(message("merges", Json::array({"ab"})), HasSubstr("two tokens"));
  EXPECT_THAT(message("merges", Json::array({"a b c"})), HasSubstr("two tokens"));
  EXPECT_THAT(message("merges", Json::array({7})), HasSubstr("model.merges"));
  EXPECT_THAT(message("merges", Json::array({Json::array({"a"})})), HasSubstr("model.merges"));
}

TEST(BpeFile, IdsNeedNotBeDense) {
  Json json = bpe_model({});
  json.as_object().find("vocab")->as_object().append("hole", 5000);
  const BpeModel model = make_model(json);
  EXPECT_EQ(model.size(), 5001);
  EXPECT_FALSE(model.has(4000));
  EXPECT_EQ(model.bytes(4000), "");
  EXPECT_EQ(model.bytes(-1), "");
  EXPECT_EQ(model.bytes(5000), "hole");
}

}  // namespace
}  // namespace tutti
