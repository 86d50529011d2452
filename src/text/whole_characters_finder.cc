#include "text/whole_characters_finder.h"

#include <algorithm>
#include <string>

#include "base/utf8.h"

namespace tutti {

namespace {

constexpr char32_t kFirst = 0x80;
constexpr char32_t kEnd = 0x10000;  // two and three bytes: all scripts in wide use
constexpr size_t kMaxFragment = 2;  // proper parts of these

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

// The continuation bytes that `bytes` begins with: the end of a character that began before.
std::string_view suffix_fragment(std::string_view bytes) {
  size_t count = 0;
  while (count < bytes.size() && is_continuation(bytes[count])) {
    ++count;
  }
  return bytes.substr(0, count);
}

// The beginning of a character at the end of `bytes`, if it is not complete.
std::string_view prefix_fragment(std::string_view bytes) {
  for (size_t back = 1; back <= std::min<size_t>(3, bytes.size()); ++back) {
    const size_t at = bytes.size() - back;
    if (!is_continuation(bytes[at])) {
      const Utf8Char c = decode_utf8(bytes, at);
      return c.truncated ? bytes.substr(at) : std::string_view();
    }
  }
  return {};
}

uint32_t fragment_key(std::string_view bytes) {
  auto key = static_cast<uint32_t>(bytes.size());
  for (const char byte : bytes) {
    key = key << 8 | static_cast<unsigned char>(byte);
  }
  return key;
}

void lower(int32_t& value, int32_t rank) {
  value = std::min(value, rank);
}

}  // namespace

void WholeCharactersFinder::note_edge(Edges& edges,
                                      std::string_view fragment,
                                      char neighbour,
                                      int32_t rank) {
  const auto byte = static_cast<uint8_t>(neighbour);
  std::vector<Neighbour>& list = edges[fragment_key(fragment)];
  const auto known = std::find_if(
      list.begin(), list.end(), [byte](const Neighbour& one) { return one.byte == byte; });
  if (known == list.end()) {
    list.push_back({byte, rank});
  } else {
    lower(known->lowest, rank);
  }
}

// Condition 2: the characters complete inside one side of a merge.
void WholeCharactersFinder::note_contained(std::string_view part, int32_t rank) {
  for (size_t i = 0; i < part.size();) {
    const Utf8Char c = decode_utf8(part, i);
    if (c.valid && c.code >= kFirst && c.code < kEnd) {
      lower(contained_[c.code], rank);
    }
    i += static_cast<size_t>(c.length);
  }
}

void WholeCharactersFinder::note_merge(const BpeModel::Merge& merge) {
  const int32_t rank = merge.rank;
  note_contained(model_.bytes(static_cast<int32_t>(merge.key >> 32)), rank);
  note_contained(model_.bytes(static_cast<int32_t>(merge.key & UINT32_MAX)), rank);
  // Condition 1: a fragment at either edge of the token, with something on its other side.
  const std::string_view made = model_.bytes(model_.made_[static_cast<size_t>(rank)]);
  const std::string_view suffix = suffix_fragment(made);
  if (!suffix.empty() && suffix.size() <= kMaxFragment && suffix.size() < made.size()) {
    note_edge(suffixes_, suffix, made[suffix.size()], rank);
  }
  const std::string_view prefix = prefix_fragment(made);
  if (!prefix.empty() && prefix.size() <= kMaxFragment && prefix.size() < made.size()) {
    note_edge(prefixes_, prefix, made[made.size() - prefix.size() - 1], rank);
  }
}

// R(d), and the token; -1 if the bytes do not become one token.
int32_t WholeCharactersFinder::completed_at(std::string_view bytes, int32_t& token) const {
  std::vector<int32_t> ids;
  for (const char byte : bytes) {
    ids.push_back(model_.byte_ids_[static_cast<unsigned char>(byte)]);
  }
  int32_t highest = -1;
  while (ids.size() > 1) {
    size_t at = 0;
    int32_t best = BpeModel::kNoRank;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const int32_t rank = model_.find_rank(ids[i], ids[i + 1]);
      if (rank < best) {
        best = rank;
        at = i;
      }
    }
    if (best == BpeModel::kNoRank) {
      return -1;
    }
    highest = std::max(highest, best);
    ids[at] = model_.made_[static_cast<size_t>(best)];
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  token = ids[0];
  return highest;
}

// Adds the neighbours that may join the fragment before the character is complete.
void WholeCharactersFinder::forbid(const Edges& edges,
                                   std::string_view fragment,
                                   int32_t rank,
                                   WholeCharacters::ByteSet& bytes) {
  const auto found = edges.find(fragment_key(fragment));
  if (found == edges.end()) {
    return;
  }
  for (const Neighbour& neighbour : found->second) {
    if (neighbour.lowest <= rank) {
      bytes.add(neighbour.byte);
    }
  }
}

uint32_t WholeCharactersFinder::guard_number(const WholeCharacters::Guard& guard) {
  const auto next = static_cast<uint32_t>(model_.whole_.guards_.size());
  const auto [entry, is_new] = guards_.try_emplace(guard, next);
  if (is_new) {
    model_.whole_.guards_.push_back(guard);
  }
  return entry->second;
}

void WholeCharactersFinder::run() {
  contained_.assign(kEnd, INT32_MAX);
  for (const BpeModel::Merge& merge : model_.merges_) {
    if (merge.rank != BpeModel::kNoRank) {
      note_merge(merge);
    }
  }
  WholeCharacters& whole = model_.whole_;
  whole.entries_.resize(kEnd);
  guard_number({});  // number 0: no neighbour is forbidden
  for (char32_t code = kFirst; code < kEnd; ++code) {
    if (code >= 0xD800 && code < 0xE000) {
      continue;  // surrogates are no characters
    }
    std::string text;
    append_utf8(text, code);
    const std::string_view bytes = text;
    int32_t token = -1;
    const int32_t rank = completed_at(bytes, token);
    if (rank < 0 || rank >= contained_[code]) {
      continue;
    }
    WholeCharacters::Guard guard;
    for (size_t cut = 1; cut < bytes.size(); ++cut) {
      forbid(prefixes_, bytes.substr(0, cut), rank, guard.before);
      forbid(suffixes_, bytes.substr(cut), rank, guard.after);
    }
    whole.entries_[code] = {token, guard_number(guard)};
  }
}

}  // namespace tutti
