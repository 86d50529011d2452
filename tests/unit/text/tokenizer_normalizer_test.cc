// NFC: examples of UAX #15, and agreement with utf8proc over single characters and random strings.
#include <random>

#include <gtest/gtest.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "text/normalizer.h"

namespace tutti {
namespace {

std::string nfc(std::string_view text) {
  static const Normalizer kNfc = Normalizer::nfc();
  std::string out;
  kNfc.append(text, out);
  return out;
}

// utf8proc's tables are younger than the reference's: what the reference does not know stands as a
// private character, which nothing touches, while utf8proc works.
std::string by_utf8proc(const std::string& original) {
  std::string text;
  std::u32string hidden;
  for (size_t i = 0; i < original.size();) {
    const Utf8Char c = decode_utf8(original, i);
    const bool hide = c.code == 0xF0000 || Normalizer::ignores(c.code);
    hidden += hide ? std::u32string(1, c.code) : std::u32string();
    append_utf8(text, hide ? 0xF0000 : c.code);
    i += static_cast<size_t>(c.length);
  }
  utf8proc_uint8_t* buffer = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()),
                   &buffer,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  EXPECT_GE(size, 0);
  std::string out(reinterpret_cast<const char*>(buffer), static_cast<size_t>(size));
  free(buffer);
  std::string shown;
  size_t next = 0;
  for (size_t i = 0; i < out.size();) {
    const Utf8Char c = decode_utf8(out, i);
    append_utf8(shown, c.code == 0xF0000 ? hidden[next++] : c.code);
    i += static_cast<size_t>(c.length);
  }
  return shown;
}

TEST(Nfc, Examples) {
  EXPECT_EQ(nfc("plain ASCII"), "plain ASCII");
  EXPECT_EQ(nfc("cafe\u0301!"), "caf\u00E9!");
  EXPECT_EQ(nfc("q\u0307\u0323"), "q\u0323\u0307");  // marks in canonical order
  EXPECT_EQ(nfc("o\u0323\u0302"), "\u1ED9");         // two compositions
  EXPECT_EQ(nfc("\u1112\u1161\u11AB"), "\uD55C");    // Hangul
  EXPECT_EQ(nfc("\uD558\u11AB"), "\uD55C");          // syllable + final
  EXPECT_EQ(nfc("\u212B\u2126"), "\u00C5\u03A9");    // singletons
  EXPECT_EQ(nfc("\u0958"), "\u0915\u093C");          // composition exclusion
  EXPECT_EQ(nfc("\uFB01"), "\uFB01");                // compatibility characters stay
  EXPECT_EQ(nfc("\u0301a"), "\u0301a");
}

TEST(Nfc, EveryCharacterAloneAndBetweenLetters) {
  for (char32_t c = 1; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) {
      continue;
    }
    if (c >= 0x32400 && c < 0xE0000) {
      c = 0xE0000;  // nothing assigned, or private
    }
    std::string alone;
    append_utf8(alone, c);
    const std::string between = "a" + alone + "\u0301\u0327b";
    ASSERT_EQ(nfc(alone), by_utf8proc(alone)) << static_cast<uint32_t>(c);
    ASSERT_EQ(nfc(between), by_utf8proc(between)) << static_cast<uint32_t>(c);
  }
}

TEST(Nfc, RandomStrings) {
  const unsigned seed = 7;
  std::mt19937 random(seed);
  const std::u32string common =
      U"aeoA ki.\u0300\u0301\u0323\u0327\u0338\u0345\u093C\u0915\u09C7\u09BE\u1100"
      U"\u1161\u11A8\uAC00\uD558\u212B\u0344\u1E9B\u0FB2\u0F71\u0F80";
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (uint32_t i = random() % 8; i < 8; ++i) {
      append_utf8(text,
                  random() % 4 != 0 ? common[random() % common.size()]
                                    : static_cast<char32_t>(0xA0 + random() % 0x3000));
      if (random() % 8 == 0) {
        append_utf8(text, U"\u0898\u08D3\u0EBA\u1ABF\U00010F46\U00011930"[random() % 6]);
      }
    }
    ASSERT_EQ(nfc(text), by_utf8proc(text)) << "seed=" << seed << " round=" << round;
  }
}

// Results of the reference implementation (tokenizers 0.22, Unicode 9.0): U+08D4 and U+0DCA are
// older than its tables, U+08D3 and U+0EBA younger.
TEST(Nfc, YoungerMarksStayWhereTheyAre) {
  EXPECT_EQ(nfc("x\u0345\u08D4x"), "x\u08D4\u0345x");
  EXPECT_EQ(nfc("x\u0345\u0DCAx"), "x\u0DCA\u0345x");
  EXPECT_EQ(nfc("x\u0345\u08D3x"), "x\u0345\u08D3x");
  EXPECT_EQ(nfc("x\u0345\u0EBAx"), "x\u0345\u0EBAx");
  EXPECT_EQ(nfc("a\u0898\u0301"), "a\u0898\u0301");
  EXPECT_EQ(nfc("\U00011935\U00011930"), "\U00011935\U00011930");
  EXPECT_FALSE(Normalizer::ignores(0x301));
  EXPECT_FALSE(Normalizer::ignores(0x896));
  EXPECT_TRUE(Normalizer::ignores(0x897));
  EXPECT_TRUE(Normalizer::ignores(0x89F));
  EXPECT_FALSE(Normalizer::ignores(0x8A0));
  EXPECT_TRUE(Normalizer::ignores(0x1E6F5));
}

TEST(Nfc, LongRunsOfMarksStayFast) {
  std::string text = "a";
  for (int i = 0; i < 200000; ++i) {
    text += i % 2 == 0 ? "\u0301" : "\u0323";  // each pair is out of order
  }
  const std::string normal = nfc(text);
  EXPECT_EQ(normal.substr(0, 3), "\u1EA1");
  EXPECT_EQ(normal.size(), text.size());  // 'a' and one U+0323, three bytes, became U+1EA1
}

TEST(Normalizer, IdentityAndFile) {
  EXPECT_TRUE(Normalizer().is_identity());
  const Json empty = Json::object({{"type", "Sequence"}, {"normalizers", Json::array({})}});
  EXPECT_TRUE(Normalizer::from_json(&empty, "normalizer")->is_identity());
  const Json inside = Json::object(
      {{"type", "Sequence"}, {"normalizers", Json::array({Json::object({{"type", "NFC"}})})}});
  EXPECT_FALSE(Normalizer::from_json(&inside, "normalizer")->is_identity());
  const Json lower = Json::object({{"type", "Lowercase"}});
  EXPECT_FALSE(Normalizer::from_json(&lower, "normalizer").ok());
}

}  // namespace
}  // namespace tutti
