// Several things, by the first byte of the input:
// - any bytes as tokenizer.json, then a text through what loads;
// - any text through the hand-written splitters and through PCRE2, which must agree;
// - any text through small tokenizers: decoding must give the text back, threads and cutting must
//   not change ids (rarely: it takes a quarter of a megabyte of text).
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/utf8.h"
#include "text/incremental_decoder.h"
#include "text/pretokenizer.h"
#include "text/tokenizer.h"
#include "unit/text/tokenizer_json.h"

namespace {

using namespace tutti;

void must(bool condition) {
  if (!condition) {
    std::abort();
  }
}

void load_anything(std::string_view bytes) {
  const auto json = parse_json(bytes);
  if (!json.ok()) {
    return;
  }
  const auto tokenizer = Tokenizer::from_json(*json, nullptr);
  if (!tokenizer.ok()) {
    return;
  }
  const auto ids =
      (*tokenizer)
          ->encode("Hello  world 1234 <a>\n\xE4\xBD\xA0\xE5\xA5\xBD don't \xF0\x9F\x99\x82");
  if (ids.ok()) {
    const std::string text = (*tokenizer)->decode(*ids);
    IncrementalDecoder decoder(**tokenizer);
    std::string joined;
    for (const int32_t id : *ids) {
      joined += decoder.push(id);
    }
    must(joined + decoder.finish() == text);
  }
}

const std::vector<PreTokenizer>& pre_tokenizers() {
  static const std::vector<PreTokenizer> kAll = [] {
    std::vector<PreTokenizer> all;
    for (const Json& json : {sequence({split_step(kQwen2), byte_level()}),
                             sequence({split_step(kLlama3), byte_level()}),
                             deepseek_pre_tokenizer(),
                             byte_level(/*use_regex=*/true)}) {
      all.push_back(*PreTokenizer::from_json(&json, "pre_tokenizer"));
      must(all.back().known() != nullptr);
    }
    return all;
  }();
  return kAll;
}

void compare_splitters(std::string_view text) {
  for (const PreTokenizer& pre_tokenizer : pre_tokenizers()) {
    PieceList pieces;
    std::vector<TextRange> scratch;
    must(pre_tokenizer.split(text, pieces, scratch).ok());
    std::array<uint32_t, 3> ends{};
    uint32_t at = 0;
    size_t piece = 0;
    while (const size_t count = pre_tokenizer.known()->next(text, at, ends)) {
      for (size_t i = 0; i < count; ++i, ++piece) {
        must(piece < pieces.ranges.size() && pieces.ranges[piece].end == ends[i]);
      }
    }
    must(piece == pieces.ranges.size());
  }
}

const std::vector<std::shared_ptr<const Tokenizer>>& tokenizers() {
  static const std::vector<std::shared_ptr<const Tokenizer>> kAll = [] {
    std::vector<std::shared_ptr<const Tokenizer>> all;
    for (const Json& file : {byte_file(), character_file()}) {
      all.push_back(*Tokenizer::from_json(file, nullptr));
    }
    return all;
  }();
  return kAll;
}

void encode_and_decode(std::string_view text) {
  for (const auto& tokenizer : tokenizers()) {
    const auto ids = tokenizer->encode(text);
    must(ids.ok());
    // The second tokenizer writes spaces as U+2581 and so reads a U+2581 back as a space.
    const bool exact =
        tokenizer == tokenizers().front() || text.find("\u2581") == std::string_view::npos;
    must(!exact || tokenizer->decode(*ids) == text);
  }
}

// Long enough for two threads, which only cut where it makes no difference. The second tokenizer
// never works in parallel: only known splitters say where a cut is safe.
void encode_in_parallel(std::string_view text) {
  const Tokenizer& tokenizer = *tokenizers().front();
  std::string repeated;
  while (!text.empty() && repeated.size() < (size_t{256} << 10)) {
    repeated.append(text).append(" x\n");
  }
  const auto one = tokenizer.encode(repeated, {.threads = 1});
  const auto two = tokenizer.encode(repeated, {.threads = 2});
  must(one.ok() && two.ok() && *one == *two);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size == 0 || bytes[0] == '{') {
    load_anything(bytes);
    return 0;
  }
  // Bytes that are no UTF-8 never come this far: encode() refuses them.
  const std::string text = replace_invalid_utf8(bytes.substr(1));
  compare_splitters(text);
  encode_and_decode(text);
  if (bytes[0] == '@' && size % 8 == 0) {
    encode_in_parallel(text);
  }
  return 0;
}
