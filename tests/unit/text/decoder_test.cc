// Streaming: pieces joined equal decode() for every sequence and every split of characters.
#include <random>

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "text/incremental_decoder.h"
#include "tokenizer_files.h"

namespace tutti {
namespace {

// All pieces joined; each must be valid UTF-8 and leave at most three bytes behind.
std::string stream(const Tokenizer& t, const std::vector<int32_t>& ids, bool skip = false) {
  IncrementalDecoder decoder(t, skip);
  std::string out;
  for (const int32_t id : ids) {
    const std::string piece = decoder.push(id);
    EXPECT_TRUE(is_valid_utf8(piece));
    EXPECT_LE(decoder.held_bytes(), 3U);
    out += piece;
  }
  return out + decoder.finish();
}

TEST(IncrementalDecoder, HandsOutWholeCharacters) {
  const auto t = make_tokenizer(tokenizer_file());
  IncrementalDecoder decoder(*t);
  EXPECT_EQ(decoder.push('a'), "a");
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.push(0x9F), "");
  EXPECT_EQ(decoder.push(0x98), "");
  EXPECT_EQ(decoder.push(0x80), "😀");
  EXPECT_EQ(decoder.push(0xE4), "");
  EXPECT_EQ(decoder.push('b'), "\uFFFDb");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.push('c'), "c");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(IncrementalDecoder, EverySplitOfAText) {
  const std::string text = "aé你😀\u0301!";
  for (size_t begin = 0; begin < text.size(); ++begin) {
    for (size_t end = begin + 2; end <= std::min(begin + 6, text.size()); ++end) {
      // A vocabulary in which text[begin, end) is one token, whatever characters it cuts.
      Json model = bpe_model({});
      const std::string cut = text.substr(begin, end - begin);
      model.as_object().find("vocab")->as_object().append(vocab_string_of_bytes(cut), 256);
      const auto t = make_tokenizer(with(tokenizer_file(), "model", model));
      std::vector<int32_t> ids = byte_ids(text.substr(0, begin));
      ids.push_back(256);
      for (const int32_t id : byte_ids(text.substr(end))) {
        ids.push_back(id);
      }
      EXPECT_EQ(stream(*t, ids), text) << begin << ".." << end;
    }
  }
}

TEST(IncrementalDecoder, RandomBytesEqualDecode) {
  Json file = tokenizer_file({{"\xE4", "\xBD"}, {"\xF0", "\x9F"}, {"\x9F", "\x98"}, {"a", "\xE4"}},
                             {added_token(400, "<é>", true), added_token(401, "<x>")});
  const auto t = make_tokenizer(file);
  const std::vector<int32_t> pool = {'a',  0xC3, 0xA9, 0xE4, 0xBD, 0xA0, 0xF0,
                                     0x9F, 0x98, 0x80, 0xED, 0xC0, 0xFF, 256,
                                     257,  258,  259,  400,  401,  399,  -1};
  const unsigned seed = 11;
  std::mt19937 random(seed);
  for (int round = 0; round < 20000; ++round) {
    std::vector<int32_t> ids(random() % 12);
    for (int32_t& id : ids) {
      id = pool[random() % pool.size()];
    }
    for (const bool skip : {false, true}) {
      ASSERT_EQ(stream(*t, ids, skip), t->decode(ids, skip)) << "seed=" << seed << " " << round;
    }
  }
}

}  // namespace
}  // namespace tutti
