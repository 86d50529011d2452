// The hand-written splitters cut exactly where the patterns do under PCRE2: for every character,
// and for random strings of the characters that patterns treat apart. TUTTI_SPLIT_ROUNDS in the
// environment says how many.
#include "text/known_split.h"

#include <array>
#include <cstdlib>
#include <random>

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "text/char_classes.h"
#include "text/word_patterns.h"
#include "tokenizer_files.h"

namespace tutti {
namespace {

int rounds() {
  const char* set = std::getenv("TUTTI_SPLIT_ROUNDS");
  return set == nullptr ? 10'000 : std::atoi(set);
}

struct Family {
  const char* name;
  PreTokenizer pre_tokenizer;
};

PreTokenizer make(const Json& json) {
  auto made = PreTokenizer::from_json(&json, "pre_tokenizer");
  EXPECT_TRUE(made.ok()) << made.status().message();
  return *std::move(made);
}

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = [] {
    std::vector<Family> list;
    list.push_back({"Qwen 2", make(sequence({split_step(kQwen2), byte_level()}))});
    list.push_back({"Llama 3", make(sequence({split_step(kLlama3), byte_level()}))});
    list.push_back({"DeepSeek", make(deepseek_pre_tokenizer())});
    list.push_back({"GPT-2", make(byte_level(/*use_regex=*/true))});
    list.push_back({"o200k", make(sequence({split_step(kO200kPattern), byte_level()}))});
    list.push_back({"Kimi", *PreTokenizer::of_matches(kKimiPattern)});
    return list;
  }();
  return kFamilies;
}

std::vector<uint32_t> ends_by_pcre2(const PreTokenizer& pre_tokenizer, std::string_view text) {
  PieceList pieces;
  std::vector<TextRange> scratch;
  const Status status = pre_tokenizer.split(text, pieces, scratch);
  EXPECT_TRUE(status.ok()) << status.message();
  std::vector<uint32_t> ends;
  for (const TextRange& range : pieces.ranges) {
    ends.push_back(range.end);
  }
  return ends;
}

std::vector<uint32_t> ends_by_hand(const KnownSplit& split, std::string_view text, size_t block) {
  std::vector<uint32_t> ends;
  std::vector<uint32_t> buffer(block);
  uint32_t at = 0;
  while (const size_t count = split.next(text, at, buffer)) {
    ends.insert(ends.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(count));
  }
  return ends;
}

std::string escaped(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

bool is_character(char32_t code) {
  return code < 0xD800 || (code >= 0xE000 && code < 0x110000);
}

// Characters that some pattern treats apart, and neighbours of each class.
std::string random_text(std::mt19937& random, size_t length) {
  static const std::u32string kCommon =
      U"''''sStTrReEvVmMlLdDaZz\u017F\u212A\u00E9\u0130\u01C5\u02B0\u05D0\u0301\u0345\u093E\u20DD"
      U"     \t\n\n\r\r\v\f\u0085\u00A0\u1680\u180E\u2003\u2028\u2029\u202F\u3000\u200B\u200D\uFEFF"
      U"0123456789\u0663\u00BD\u2167\U0001D7D8\u00B2\u3007"
      U".,!?-_/\\()[]{}<>|$+^`~\"#&*:;=@%\u3002\uFF0C\u201C\u20AC\u00A9\U0001F600\U0001F3FD"
      U"\u4E00\u4E2D\u9FA5\u9FA6\u3400\u3040\u3042\u3097\u3099\u309F\u30A0\u30A2\u30FB\u30FF\u3100"
      U"\u0001\u007F\u00AD\u0378\uE000\U000E0001\U0010FFFF\U00020000\U000323B0";
  std::string text;
  for (size_t i = 0; i < length; ++i) {
    char32_t code = kCommon[random() % kCommon.size()];
    if (random() % 16 == 0) {
      code = static_cast<char32_t>(random() % 0x110000);
    }
    const size_t times = random() % 12 == 0 ? 1 + random() % 6 : 1;
    for (size_t n = 0; n < times && is_character(code); ++n) {
      append_utf8(text, code);
    }
  }
  return text;
}

TEST(KnownSplit, RecognisesTheFamiliesAndNothingElse) {
  const std::array<KnownSplit::Rule, 6> rules = {KnownSplit::Rule::kQwen2,
                                                 KnownSplit::Rule::kLlama3,
                                                 KnownSplit::Rule::kDeepSeek,
                                                 KnownSplit::Rule::kGpt2,
                                                 KnownSplit::Rule::kO200k,
                                                 KnownSplit::Rule::kKimi};
  for (size_t i = 0; i < rules.size(); ++i) {
    const KnownSplit* known = families()[i].pre_tokenizer.known();
    ASSERT_NE(known, nullptr) << families()[i].name;
    EXPECT_EQ(known->rule(), rules[i]) << families()[i].name;
  }
  const std::string other = std::string(kQwen2) + "|x";
  EXPECT_EQ(make(sequence({split_step(other), byte_level()})).known(), nullptr);
  EXPECT_EQ(make(sequence({split_step(kQwen2, "Removed"), byte_level()})).known(), nullptr);
  EXPECT_EQ(make(sequence({split_step(kQwen2, "Isolated", true), byte_level()})).known(), nullptr);
  EXPECT_EQ(make(sequence({split_step(kQwen2), split_step(kQwen2), byte_level()})).known(),
            nullptr);
  EXPECT_EQ(make(sequence({split_step(kQwen2), byte_level(false, true)})).known(), nullptr);
  EXPECT_EQ(make(byte_level()).known(), nullptr);
}

TEST(KnownSplit, EveryCharacterHasTheClassPcre2Gives) {
  struct Class {
    const char* pattern;
    CharBits bit;
  };

  std::string text;
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (is_character(code)) {
      append_utf8(text, code);
    }
  }
  for (const Class& one : {Class{"\\p{L}", kLetter},
                           Class{"\\p{M}", kMark},
                           Class{"\\p{N}", kNumber},
                           Class{"[\\p{P}\\p{S}]", kPunctuation},
                           Class{"\\s", kWhiteSpace},
                           Class{"[\\r\\n]", kLineEnd}}) {
    auto regex = UnicodeRegex::compile(one.pattern);
    ASSERT_TRUE(regex.ok());
    RegexSearch search(*regex, text.size());
    search.start(text);
    auto match = search.next();
    for (size_t i = 0; i < text.size();) {
      const Utf8Char c = decode_utf8(text, i);
      ASSERT_TRUE(match.ok());
      const bool matches = match->has_value() && (**match).begin == i;
      ASSERT_EQ((CharTable::plain().of(c.code) & one.bit) != 0, matches)
          << one.pattern << " " << static_cast<uint32_t>(c.code);
      if (matches) {
        match = search.next();
      }
      i += static_cast<size_t>(c.length);
    }
  }
}

TEST(KnownSplit, EveryCharacterBetweenOthers) {
  for (const Family& family : families()) {
    std::string text;
    for (char32_t code = 0; code < 0x110000; ++code) {
      if (code >= 0x32400 && code < 0xE0000) {
        code = 0xE0000;  // nothing assigned, or private
      }
      if (code == 0xE0200) {
        code = 0x10FF00;
      }
      if (!is_character(code)) {
        continue;
      }
      std::string c;
      append_utf8(c, code);
      text += c + " " + c + c + "a" + c + "1'" + c + "\n" + c + ".";
      if (code % 64 == 0 || code == 0x10FFFF) {
        ASSERT_EQ(ends_by_hand(*family.pre_tokenizer.known(), text, 7),
                  ends_by_pcre2(family.pre_tokenizer, text))
            << family.name << " up to " << static_cast<uint32_t>(code);
        text.clear();
      }
    }
  }
}

TEST(KnownSplit, RandomStrings) {
  const unsigned seed = 20251125;
  std::mt19937 random(seed);
  for (int round = 0; round < rounds(); ++round) {
    const std::string text = random_text(random, 1 + random() % 24);
    for (const Family& family : families()) {
      ASSERT_EQ(ends_by_hand(*family.pre_tokenizer.known(), text, 1 + random() % 5),
                ends_by_pcre2(family.pre_tokenizer, text))
          << family.name << " seed=" << seed << " round=" << round << " " << escaped(text);
    }
  }
}

TEST(KnownSplit, BothSidesOfASafeCutSplitApart) {
  const unsigned seed = 11;
  std::mt19937 random(seed);
  int cuts = 0;
  for (int round = 0; round < rounds() / 4; ++round) {
    const std::string text = random_text(random, 1 + random() % 40);
    if (text.empty()) {  // its pieces may all be; there is no place to cut
      continue;
    }
    for (const Family& family : families()) {
      const KnownSplit& split = *family.pre_tokenizer.known();
      const std::vector<uint32_t> whole = ends_by_hand(split, text, 64);
      const auto from = static_cast<uint32_t>(random() % text.size());
      const uint32_t cut = split.safe_cut(text, from);
      ASSERT_GT(cut, from);
      std::vector<uint32_t> joined = ends_by_hand(split, std::string_view(text).substr(0, cut), 64);
      for (const uint32_t end : ends_by_hand(split, std::string_view(text).substr(cut), 64)) {
        joined.push_back(cut + end);
      }
      ASSERT_EQ(joined, whole) << family.name << " seed=" << seed << " round=" << round << " cut "
                               << cut << " of " << escaped(text);
      cuts += cut < text.size() ? 1 : 0;
    }
  }
  EXPECT_GT(cuts, rounds() / 20);  // the property was tested on something
}

TEST(KnownSplit, ThreadsDoNotChangeIds) {
  const unsigned seed = 5;
  std::mt19937 random(seed);
  const auto tokenizer = make_tokenizer(
      tokenizer_file({{" ", "a"}, {"e", "s"}, {"\xE4", "\xB8"}, {"\xE4\xB8", "\xAD"}, {".", "."}},
                     {added_token(300, "<x>"), added_token(301, "<y>")}));
  std::string text;
  while (text.size() < (size_t{1} << 20)) {
    text += random_text(random, 1 + random() % 200);
    text += random() % 300 == 0 ? "<x>" : "";
  }
  const std::vector<int32_t> serial = encode(*tokenizer, text);
  for (const int threads : {0, 2, 3, 7}) {
    ASSERT_EQ(encode(*tokenizer, text, {.threads = threads}), serial)
        << "seed=" << seed << " threads=" << threads;
  }
  // No place to cut: one part, whatever is asked for.
  const std::string spaces(size_t{1} << 19, ' ');
  EXPECT_EQ(encode(*tokenizer, spaces, {.threads = 4}), encode(*tokenizer, spaces));
  EXPECT_EQ(tokenizer->decode(serial), text);
}

}  // namespace
}  // namespace tutti
