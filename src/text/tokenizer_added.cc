#include "text/tokenizer_added.h"

#include <algorithm>

#include "base/json_fields.h"
#include "base/utf8.h"
#include "text/bpe.h"
#include "text/unicode_props.h"

namespace tutti {

namespace {

// Real ones have some 30 bytes. The bound keeps matching linear: each position of the text is
// compared with at most this many bytes.
constexpr size_t kMaxContentBytes = 1024;

struct CharAt {
  char32_t code = 0;
  uint32_t begin = 0;
};

// The character that ends at `end` > 0 in valid UTF-8.
CharAt char_before(std::string_view text, uint32_t end) {
  uint32_t begin = end - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) {
    --begin;
  }
  return {decode_utf8(text, begin).code, begin};
}

bool all_white_space(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (!is_white_space(c.code)) {
      return false;
    }
    i += static_cast<size_t>(c.length);
  }
  return true;
}

Result<AddedToken> parse_token(const Json& json, const std::string& where) {
  if (!json.is_object()) {
    return error(StatusCode::kCorrupt, "{}: got {}, wanted an object", where, json.type_name());
  }
  FieldReader reader(json.as_object(), where);
  AddedToken token;
  token.id = static_cast<int32_t>(reader.required_int("id", {0, kMaxTokenIds - 1}));
  token.content = reader.required_string("content");
  token.single_word = reader.bool_or("single_word", false);
  token.lstrip = reader.bool_or("lstrip", false);
  token.rstrip = reader.bool_or("rstrip", false);
  token.special = reader.bool_or("special", false);
  token.normalized = reader.bool_or("normalized", !token.special);
  TUTTI_RETURN_IF_ERROR(reader.status());
  if (token.content.empty() || token.content.size() > kMaxContentBytes) {
    return error(StatusCode::kCorrupt,
                 "{}.content: {} bytes, wanted 1 to {}",
                 where,
                 token.content.size(),
                 kMaxContentBytes);
  }
  return token;
}

}  // namespace

Result<AddedTokens> AddedTokens::from_json(const Json* json,
                                           const Normalizer& normalizer,
                                           const std::string& where) {
  AddedTokens out;
  if (json != nullptr && !json->is_null() && !json->is_array()) {
    return error(StatusCode::kCorrupt, "{}: got {}, wanted an array", where, json->type_name());
  }
  std::vector<Key> raw;
  std::vector<Key> normalized;
  const size_t count = json != nullptr && json->is_array() ? json->as_array().size() : 0;
  for (size_t i = 0; i < count; ++i) {
    const std::string place = fmt::format("{}[{}]", where, i);
    TUTTI_TRY(AddedToken token, parse_token(json->as_array()[i], place));
    if (!out.ids_.emplace(token.id, i).second || !out.contents_.emplace(token.content, i).second) {
      return error(StatusCode::kCorrupt,
                   "{}: id {} or content \"{}\" is given twice",
                   place,
                   token.id,
                   token.content);
    }
    Key key = {token.content, static_cast<int32_t>(i)};
    if (token.normalized) {
      key.text.clear();
      normalizer.append(token.content, key.text);
      normalized.push_back(std::move(key));
    } else {
      raw.push_back(std::move(key));
    }
    out.plain_.push_back(all_white_space(token.content));
    out.tokens_.push_back(std::move(token));
  }
  out.raw_ = build_trie(std::move(raw), out.plain_);
  out.normalized_ = build_trie(std::move(normalized), out.plain_);
  return out;
}

AddedTokens::Trie AddedTokens::build_trie(std::vector<Key> keys, const std::vector<bool>& plain) {
  std::stable_sort(
      keys.begin(), keys.end(), [](const Key& a, const Key& b) { return a.text < b.text; });
  Trie trie;
  trie.nodes.emplace_back();
  add_children(trie, 0, keys, 0);
  const Node& root = trie.nodes[0];
  for (uint32_t e = 0; e < root.edge_count; ++e) {
    const Edge& edge = trie.edges[root.first_edge + e];
    trie.root[edge.byte] = edge.node;
  }
  trie.has_plain = std::any_of(keys.begin(), keys.end(), [&](const Key& key) {
    return plain[static_cast<size_t>(key.token)];
  });
  return trie;
}

// `keys` share their first `depth` bytes, which lead to `node`. Recursion is as deep as the longest
// content.
void AddedTokens::add_children(Trie& trie, uint32_t node, std::span<const Key> keys, size_t depth) {
  while (!keys.empty() && keys.front().text.size() == depth) {
    trie.nodes[node].token = keys.front().token;
    keys = keys.subspan(1);
  }

  struct Group {
    uint8_t byte;
    std::span<const Key> keys;
  };

  std::vector<Group> groups;
  while (!keys.empty()) {
    const char byte = keys.front().text[depth];
    const auto end = std::find_if(
        keys.begin(), keys.end(), [&](const Key& key) { return key.text[depth] != byte; });
    const auto size = static_cast<size_t>(end - keys.begin());
    groups.push_back({static_cast<uint8_t>(byte), keys.first(size)});
    keys = keys.subspan(size);
  }
  const auto first_edge = static_cast<uint32_t>(trie.edges.size());
  trie.nodes[node].first_edge = first_edge;
  trie.nodes[node].edge_count = static_cast<uint32_t>(groups.size());
  for (const Group& group : groups) {
    trie.edges.push_back({group.byte, static_cast<uint32_t>(trie.nodes.size())});
    trie.nodes.emplace_back();
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    add_children(trie, trie.edges[first_edge + g].node, groups[g].keys, depth + 1);
  }
}

const AddedToken* AddedTokens::by_id(int32_t id) const {
  const auto found = ids_.find(id);
  return found == ids_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::by_content(std::string_view content) const {
  const auto found = contents_.find(std::string(content));
  return found == contents_.end() ? nullptr : &tokens_[found->second];
}

// The longest allowed token that begins at `begin`: a plain one, or one that ends at or before
// `special_limit`.
std::optional<AddedTokens::Match> AddedTokens::match_at(const Trie& trie,
                                                        std::string_view text,
                                                        uint32_t begin,
                                                        uint32_t special_limit) const {
  std::optional<Match> best;
  uint32_t node = trie.root[static_cast<uint8_t>(text[begin])];
  for (uint32_t end = begin + 1; node != 0; ++end) {
    const Node& at = trie.nodes[node];
    if (at.token >= 0) {
      const auto token = static_cast<size_t>(at.token);
      if (plain_[token] || end <= special_limit) {
        best = Match{{begin, end}, at.token};
      }
    }
    if (end >= text.size()) {
      break;
    }
    const auto edges = std::span(trie.edges).subspan(at.first_edge, at.edge_count);
    const auto byte = static_cast<uint8_t>(text[end]);
    const auto edge = std::lower_bound(
        edges.begin(), edges.end(), byte, [](const Edge& e, uint8_t b) { return e.byte < b; });
    node = edge != edges.end() && edge->byte == byte ? edge->node : 0;
  }
  return best;
}

// single_word, lstrip, rstrip as in the reference implementation (AddedVocabulary::find_matches).
// `match.id` is a position in tokens_ here. False: no match after all.
bool AddedTokens::apply_rules(std::string_view text, uint32_t done, Match& match) const {
  const AddedToken& token = tokens_[static_cast<size_t>(match.id)];
  match.id = token.id;
  auto& [begin, end] = match.range;
  if (token.single_word) {
    const bool word_before = begin > 0 && is_word_char(char_before(text, begin).code);
    const bool word_after = end < text.size() && is_word_char(decode_utf8(text, end).code);
    if (word_before || word_after) {
      return false;
    }
  }
  while (token.lstrip && begin > done) {
    const CharAt c = char_before(text, begin);
    if (!is_white_space(c.code)) {
      break;
    }
    begin = c.begin;
  }
  while (token.rstrip && end < text.size()) {
    const Utf8Char c = decode_utf8(text, end);
    if (!is_white_space(c.code)) {
      break;
    }
    end += static_cast<uint32_t>(c.length);
  }
  return true;
}

void AddedTokens::find(Pass pass,
                       std::string_view text,
                       std::span<const TextRegion> regions,
                       std::vector<Match>& matches) const {
  matches.clear();
  const Trie& trie = pass == Pass::kRaw ? raw_ : normalized_;
  uint32_t done = 0;  // end of the last match
  uint32_t at = 0;
  for (const TextRegion& region : regions) {
    at = std::max(at, region.range.begin);
    if (!region.parse_special && !trie.has_plain) {
      continue;
    }
    const uint32_t special_limit = region.parse_special ? region.range.end : 0;
    while (at < region.range.end) {
      if (trie.root[static_cast<uint8_t>(text[at])] == 0) {
        ++at;
        continue;
      }
      std::optional<Match> match = match_at(trie, text, at, special_limit);
      if (!match) {
        ++at;
        continue;
      }
      at = match->range.end;  // a match that its rules discard still hides what it covers
      if (apply_rules(text, done, *match)) {
        done = match->range.end;
        at = done;
        matches.push_back(*match);
      }
    }
  }
}

}  // namespace tutti
