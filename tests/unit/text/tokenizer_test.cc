// The whole tokenizer: added tokens, spans, BOS and EOS, decoding, files.
#include "text/tokenizer.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizer_files.h"

namespace tutti {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr EncodeOptions kPlain = {.parse_special = false};

JsonArray chat_tokens() {
  return {added_token(300, "<s>", true),
          added_token(301, "<think>"),
          added_token(302, "<think>>"),
          added_token(303, "<User>", true)};
}

Json with_flag(Json token, const char* flag) {
  token.as_object().set(flag, true);
  return token;
}

TEST(Tokenizer, EncodesAndDecodes) {
  const auto t = make_tokenizer(tokenizer_file({{" ", "w"}, {"l", "l"}}));
  EXPECT_THAT(encode(*t, "ell wo"), ElementsAre('e', 257, 256, 'o'));
  EXPECT_THAT(encode(*t, ""), IsEmpty());
  for (const char* text :
       {"plain", "né 你好 12345\r\n\t😀 ", "a\u0301\u0323", "\u180E\u200B x", "\0"}) {
    EXPECT_EQ(t->decode(encode(*t, text)), text);
  }
  EXPECT_EQ(t->vocab_size(), 258);
  EXPECT_EQ(t->token_bytes(256), " w");
  EXPECT_EQ(t->token_id(" w"), 256);
  EXPECT_EQ(t->token_id("nothing"), std::nullopt);
}

TEST(Tokenizer, RefusesInvalidUtf8WithItsPlace) {
  const auto t = make_tokenizer(tokenizer_file());
  for (const std::string_view bad :
       {"abc\xFFx", "abc\xC3", "abc\xED\xA0\x80", "abc\xC0\x80", "abc\xF5\x80\x80\x80"}) {
    const auto ids = t->encode(bad);
    ASSERT_FALSE(ids.ok());
    EXPECT_EQ(ids.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(ids.status().message(), HasSubstr("byte 3"));
  }
}

TEST(AddedTokens, LongestMatchAndPlainText) {
  const auto t = make_tokenizer(tokenizer_file({}, chat_tokens()));
  EXPECT_THAT(encode(*t, "a<think>b"), ElementsAre('a', 301, 'b'));
  EXPECT_THAT(encode(*t, "<think>><think>"), ElementsAre(302, 301));
  EXPECT_THAT(encode(*t, "<<think"), ElementsAre('<', '<', 't', 'h', 'i', 'n', 'k'));
  EXPECT_EQ(encode(*t, "a<think>", kPlain), byte_ids("a<think>"));
  EXPECT_EQ(t->token_id("<think>"), 301);
  EXPECT_TRUE(t->is_special(300));
  EXPECT_FALSE(t->is_special(301));
}

TEST(AddedTokens, StripAndSingleWord) {
  const auto make = [](const char* flag) {
    return make_tokenizer(tokenizer_file({}, {with_flag(added_token(300, "<m>"), flag)}));
  };
  EXPECT_THAT(encode(*make("lstrip"), "a \u3000<m> b"), ElementsAre('a', 300, ' ', 'b'));
  EXPECT_THAT(encode(*make("rstrip"), "a <m> \n b"), ElementsAre('a', ' ', 300, 'b'));
  EXPECT_THAT(encode(*make("single_word"), "<m> a<m>"), ElementsAre(300, ' ', 'a', '<', 'm', '>'));
  EXPECT_THAT(encode(*make("lstrip"), " <m> <m>"), ElementsAre(300, 300));
}

TEST(AddedTokens, NormalizedOnesAreFoundInNormalText) {
  Json file = tokenizer_file(
      {}, {with_flag(added_token(300, "caf\u00E9"), "normalized"), added_token(301, "th\u00E9")});
  file = with(std::move(file), "normalizer", Json::object({{"type", "NFC"}}));
  const auto t = make_tokenizer(file);
  EXPECT_THAT(encode(*t, "cafe\u0301"), ElementsAre(300));
  EXPECT_THAT(encode(*t, "the\u0301"), ElementsAre('t', 'h', 0xC3, 0xA9));
  EXPECT_THAT(encode(*t, "th\u00E9"), ElementsAre(301));
}

TEST(AddedTokens, WhiteSpaceTokensArePlainTextPieces) {
  const auto t = make_tokenizer(tokenizer_file({}, {added_token(300, "    ")}));
  EXPECT_THAT(encode(*t, "a    b", kPlain), ElementsAre('a', 300, 'b'));
}

TEST(Spans, OnlyTemplateTextParsesTokens) {
  const auto t = make_tokenizer(tokenizer_file({}, chat_tokens()));
  const std::vector<Tokenizer::Span> spans = {
      {"<s><User>", true}, {"hi <s>", false}, {"<think>", true}};
  std::vector<int32_t> expected = {300, 303};
  for (const int32_t id : byte_ids("hi <s>")) {
    expected.push_back(id);
  }
  expected.push_back(301);
  EXPECT_EQ(*t->encode_spans(spans, false), expected);
}

TEST(Spans, TokenAcrossABorder) {
  const auto t = make_tokenizer(tokenizer_file({}, chat_tokens()));
  const auto run = [&](std::vector<Tokenizer::Span> spans) {
    return *t->encode_spans(spans, false);
  };
  EXPECT_THAT(run({{"<thi", true}, {"nk>", true}}), ElementsAre(301));
  EXPECT_THAT(run({{"<thi", true}, {"", false}, {"nk>", true}}), ElementsAre(301));
  EXPECT_EQ(run({{"<thi", true}, {"nk>", false}}), byte_ids("<think>"));
  EXPECT_EQ(run({{"<thi", false}, {"nk>", true}}), byte_ids("<think>"));
  EXPECT_EQ(run({{"<thi", false}, {"nk>", false}}), byte_ids("<think>"));
  // The longer token would end in the message: the shorter one counts.
  EXPECT_THAT(run({{"<think>", true}, {">", false}}), ElementsAre(301, '>'));
}

TEST(Spans, BordersLeaveNoTraceInOrdinaryText) {
  const auto t =
      make_tokenizer(tokenizer_file({{"a", "b"}, {" ", "ab"}, {"1", "2"}}, chat_tokens()));
  const std::string text = "x ab 123  ab.\n\nab你好 ab <think> ab";
  const std::vector<int32_t> whole = encode(*t, text);
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const bool inside_token = cut > text.find('<') && cut <= text.find('>');
    if ((cut < text.size() && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) ||
        inside_token || cut > text.find('<')) {
      continue;
    }
    const std::vector<Tokenizer::Span> spans = {{std::string_view(text).substr(0, cut), false},
                                                {std::string_view(text).substr(cut), true}};
    EXPECT_EQ(*t->encode_spans(spans, true), whole) << "cut=" << cut;
  }
}

TEST(Spans, ContentCannotComposeWithTheTemplate) {
  Json file = tokenizer_file({}, {with_flag(added_token(300, "<m>"), "normalized")});
  file = with(std::move(file), "normalizer", Json::object({{"type", "NFC"}}));
  const auto t = make_tokenizer(file);
  // '>' + U+0338 composes to U+226F when normalised together.
  const std::vector<Tokenizer::Span> spans = {{"<m>", true}, {"\u0338x", false}};
  EXPECT_THAT(*t->encode_spans(spans, false), ElementsAre(300, 0xCC, 0xB8, 'x'));
}

TEST(Spans, NameTheSpanOfAnError) {
  const auto t = make_tokenizer(tokenizer_file());
  const std::vector<Tokenizer::Span> spans = {{"ok", true}, {"x\xC3", false}};
  EXPECT_THAT(t->encode_spans(spans, false).status().message(), HasSubstr("spans[1]"));
}

TEST(BosEos, FromTheConfigFlag) {
  const Json config = Json::object({{"add_bos_token", true},
                                    {"add_eos_token", true},
                                    {"bos_token", Json::object({{"content", "<s>"}})},
                                    {"eos_token", "<User>"}});
  const auto t = make_tokenizer(tokenizer_file({}, chat_tokens()), &config);
  EXPECT_EQ(t->bos_id(), 300);
  EXPECT_EQ(t->eos_id(), 303);
  EXPECT_THAT(t->prefix_ids(), ElementsAre(300));
  EXPECT_THAT(encode(*t, "a"), ElementsAre(300, 'a', 303));
  EXPECT_THAT(encode(*t, "a", {.add_special_tokens = false}), ElementsAre('a'));
  EXPECT_THAT(encode(*t, "<s>"), ElementsAre(300, 300, 303));  // doubled, as Hugging Face does
}

Json llama_template(int sequences = 1, int id = 300) {
  JsonArray single = {
      Json::object({{"SpecialToken", Json::object({{"id", "<s>"}, {"type_id", 0}})}})};
  for (int i = 0; i < sequences; ++i) {
    single.push_back(Json::object({{"Sequence", Json::object({{"id", "A"}, {"type_id", 0}})}}));
  }
  const Json token = Json::object({{"id", "<s>"}, {"ids", Json::array({id})}});
  return Json::object({{"type", "TemplateProcessing"},
                       {"single", Json(std::move(single))},
                       {"special_tokens", Json::object({{"<s>", token}})}});
}

TEST(BosEos, FromThePostProcessorAndOnlyOnce) {
  const Json both = Json::object(
      {{"type", "Sequence"}, {"processors", Json::array({byte_level(), llama_template()})}});
  const Json file = with(tokenizer_file({}, chat_tokens()), "post_processor", both);
  EXPECT_THAT(encode(*make_tokenizer(file), "a"), ElementsAre(300, 'a'));
  const Json config = Json::object({{"add_bos_token", true}, {"bos_token", "<s>"}});
  EXPECT_THAT(encode(*make_tokenizer(file, &config), "a"), ElementsAre(300, 'a'));
}

TEST(BosEos, BadConfigs) {
  const Json file = tokenizer_file({}, chat_tokens());
  const Json no_token = Json::object({{"add_bos_token", true}, {"bos_token", nullptr}});
  EXPECT_THAT(load_error(file, &no_token), HasSubstr("add_bos_token is true"));
  const Json bad_type = Json::object({{"bos_token", 7}});
  EXPECT_THAT(load_error(file, &bad_type), HasSubstr("bos_token"));
  EXPECT_THAT(load_error(with(file, "post_processor", llama_template(2))), HasSubstr("2 times"));
  EXPECT_THAT(load_error(with(file, "post_processor", llama_template(1, 9999))),
              HasSubstr("outside the vocabulary"));
  EXPECT_THAT(load_error(with(file, "post_processor", Json::object({{"type", "BertProcessing"}}))),
              HasSubstr("\"BertProcessing\""));
}

TEST(Decode, InvalidBytesUnknownIdsAndSpecialTokens) {
  const auto t = make_tokenizer(tokenizer_file({}, chat_tokens()));
  const std::vector<int32_t> ids = {300, 'a', 0xE4, 0xBD, 'b', 0xA0, 301, 299, -5, 1 << 30};
  EXPECT_EQ(t->decode(ids), "<s>a\uFFFDb\uFFFD<think>");
  EXPECT_EQ(t->decode(ids, true), "a\uFFFDb\uFFFD<think>");
  const auto checked = t->decode_checked(ids);
  ASSERT_FALSE(checked.ok());
  EXPECT_THAT(checked.status().message(), HasSubstr("ids[7]: 299"));
  EXPECT_EQ(*t->decode_checked(std::vector<int32_t>{'o', 'k'}), "ok");
  EXPECT_EQ(t->token_bytes(299), "");
  EXPECT_FALSE(t->has_token(299));
}

TEST(TokenizerFile, HostileFilesAreRefusedByName) {
  const Json good = tokenizer_file();
  EXPECT_THAT(load_error(Json(1)), HasSubstr("wanted an object"));
  EXPECT_THAT(load_error(Json::object()), HasSubstr("\"model\" is missing"));
  EXPECT_THAT(load_error(with(good, "normalizer", Json::object({{"type", "NFKC"}}))),
              HasSubstr("normalizer type \"NFKC\""));
  EXPECT_THAT(load_error(with(good, "normalizer", Json::array({}))), HasSubstr("normalizer"));
  EXPECT_THAT(load_error(with(good, "decoder", nullptr)), HasSubstr("wanted ByteLevel"));
  EXPECT_THAT(load_error(with(good, "decoder", Json::object({{"type", "Metaspace"}}))),
              HasSubstr("\"Metaspace\""));
  EXPECT_THAT(load_error(with(good, "model", "BPE")), HasSubstr("model: got a string"));
  const auto added = [&](JsonArray tokens) {
    return load_error(with(good, "added_tokens", Json(std::move(tokens))));
  };
  EXPECT_THAT(added({added_token(300, "")}), HasSubstr("added_tokens[0].content: 0 bytes"));
  EXPECT_THAT(added({added_token(300, std::string(1 << 20, 'x'))}), HasSubstr("1048576 bytes"));
  EXPECT_THAT(added({added_token(-1, "x")}), HasSubstr("added_tokens[0]: id"));
  EXPECT_THAT(added({added_token(1 << 30, "x")}), HasSubstr("added_tokens[0]: id"));
  EXPECT_THAT(added({added_token(300, "<x>"), added_token(300, "<y>")}), HasSubstr("twice"));
  EXPECT_THAT(added({added_token(300, "<x>"), added_token(301, "<x>")}), HasSubstr("twice"));
  EXPECT_THAT(added({added_token('a', "<x>")}), HasSubstr("which the vocabulary gives to \"a\""));
  EXPECT_THAT(added({added_token(300, "a")}), HasSubstr("but 97 in the vocabulary"));
  EXPECT_THAT(added({Json(3)}), HasSubstr("added_tokens[0]"));
  EXPECT_THAT(load_error(with(good, "added_tokens", 3)), HasSubstr("added_tokens: got"));
}

TEST(TokenizerFile, LoadsADirectory) {
  const std::filesystem::path dir = std::filesystem::path(testing::TempDir()) / "tokenizer_load";
  std::filesystem::create_directories(dir);
  EXPECT_THAT(Tokenizer::load(dir / "absent").status().message(), HasSubstr("tokenizer.json"));
  std::ofstream(dir / "tokenizer.json") << to_string(tokenizer_file({}, chat_tokens()));
  std::ofstream(dir / "tokenizer_config.json") << R"({"add_bos_token":true,"bos_token":"<s>"})";
  const auto t = Tokenizer::load(dir);
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_THAT(encode(**t, "a"), ElementsAre(300, 'a'));
  std::ofstream(dir / "tokenizer_config.json") << "{";
  EXPECT_THAT(Tokenizer::load(dir).status().message(), HasSubstr("tokenizer_config.json"));
  std::filesystem::remove_all(dir);
}

TEST(TokenizerTime, HostileTextsStayLinear) {
  const auto t = make_tokenizer(tokenizer_file(
      {{"a", "a"}, {"aa", "aa"}, {" ", " "}, {"  ", "  "}, {"\n", "\n"}}, chat_tokens()));
  // A quadratic step would take minutes and run into the test's time limit.
  for (const std::string_view unit :
       {"a", " ", "\n", "!", "1", "<", "<think", "<think>", "😀", "e\u0301"}) {
    std::string text;
    while (text.size() < (size_t{1} << 20)) {
      text += unit;
    }
    EXPECT_EQ(t->decode(encode(*t, text)), text) << unit;
  }
}

}  // namespace
}  // namespace tutti
