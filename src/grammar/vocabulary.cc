#include "grammar/vocabulary.h"

#include <algorithm>
#include <optional>

#include "base/utf8.h"

namespace tutti::grammar {

namespace {

constexpr size_t kMaxText = 65535;

// Characters of a plain token; nothing if it is none.
std::optional<uint32_t> plain_chars(std::string_view text) {
  uint32_t count = 0;
  if (text.size() > Vocabulary::kMaxBytes) {
    return {};
  }
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    if (!c.valid || c.code < 0x20 || c.code == '"' || c.code == '\\' ||
        ++count > Vocabulary::kMaxPlain) {
      return {};
    }
    at += static_cast<size_t>(c.length);
  }
  return count;
}

}  // namespace

std::string special_token_text(int32_t id) {
  std::string text = "\xFF";
  for (int shift = 24; shift >= 0; shift -= 8) {
    text.push_back(static_cast<char>(static_cast<uint32_t>(id) >> static_cast<unsigned>(shift)));
  }
  return text;
}

TokenTrie::TokenTrie(std::vector<Token> tokens) {
  std::ranges::sort(tokens, [](const Token& a, const Token& b) {
    return a.text != b.text ? a.text < b.text : a.id < b.id;
  });
  std::string_view last;
  std::vector<uint32_t> path;
  const auto leave = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back()) {
      skips_[path.back()] = size();
    }
  };
  for (const Token& token : tokens) {
    const auto common =
        static_cast<size_t>(std::ranges::mismatch(last, token.text).in1 - last.begin());
    leave(common);
    for (size_t i = common; i < token.text.size(); ++i) {
      path.push_back(size());
      bytes_.push_back(static_cast<uint8_t>(token.text[i]));
      depths_.push_back(static_cast<uint16_t>(i + 1));
      skips_.push_back(0);
      first_token_.push_back(static_cast<uint32_t>(tokens_.size()));
    }
    tokens_.push_back(token.id);
    max_depth_ = std::max(max_depth_, static_cast<uint32_t>(token.text.size()));
    last = token.text;
  }
  leave(0);
  first_token_.push_back(static_cast<uint32_t>(tokens_.size()));
}

Vocabulary::Vocabulary(std::vector<std::string> texts) : texts_(std::move(texts)) {
  std::vector<TokenTrie::Token> plain;
  std::vector<TokenTrie::Token> other;
  std::vector<TokenTrie::Token> longer;
  plain_masks_.assign((kMaxPlain + 1) * mask_words(), 0);
  for (size_t id = 0; id < texts_.size(); ++id) {
    const std::string_view text = texts_[id];
    if (text.empty() || text.size() > kMaxText) {
      continue;
    }
    const TokenTrie::Token token{.text = text, .id = static_cast<int32_t>(id)};
    const std::optional<uint32_t> chars = plain_chars(text);
    (chars.has_value() ? plain : text.size() > kMaxBytes ? longer : other).push_back(token);
    for (size_t most = chars.value_or(kMaxPlain + 1); most <= kMaxPlain; ++most) {
      plain_masks_[most * mask_words() + id / 32] |= 1U << (id % 32);
    }
  }
  plain_ = std::make_unique<TokenTrie>(std::move(plain));
  other_ = std::make_unique<TokenTrie>(std::move(other));
  longer_ = std::make_unique<TokenTrie>(std::move(longer));
}

}  // namespace tutti::grammar
