#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "base/check.h"
#include "base/utf8.h"

namespace tutti {

namespace {

constexpr int32_t kNoRank = INT32_MAX;
// Up to here a linear search for the best pair beats the heap.
constexpr size_t kShortPiece = 64;
constexpr uint32_t kNone = UINT32_MAX;

// Code point of each byte, and byte of each code point below 0x100 + 68 (-1: none).
struct ByteAlphabet {
  std::array<char32_t, 256> code_of{};
  std::array<int16_t, 0x100 + 68> byte_of{};

  constexpr ByteAlphabet() {
    byte_of.fill(-1);
    char32_t shifted = 0x100;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool self = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174);
      code_of[b] = self ? b : shifted++;
      byte_of[code_of[b]] = static_cast<int16_t>(b);
    }
  }
};

constexpr ByteAlphabet kAlphabet;

// Wide multiplication is an extension of both compilers.
__extension__ using Uint128 = unsigned __int128;

uint64_t mix(uint64_t a, uint64_t b) {
  const Uint128 product = static_cast<Uint128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

template <class Word>
uint64_t load(const char* data) {
  Word word = 0;
  std::memcpy(&word, data, sizeof(word));
  return word;
}

// The first min(size, 8) bytes, little-endian; reads nothing beyond the text.
uint64_t head_of(std::string_view bytes) {
  const char* data = bytes.data();
  const size_t size = bytes.size();
  if (size >= 8) {
    return load<uint64_t>(data);
  }
  if (size >= 4) {
    return load<uint32_t>(data) | load<uint32_t>(data + size - 4) << (8 * (size - 4));
  }
  if (size == 0) {
    return 0;
  }
  const auto at = [&](size_t i) { return uint64_t{static_cast<unsigned char>(data[i])}; };
  return at(0) | at(size / 2) << (8 * (size / 2)) | at(size - 1) << (8 * (size - 1));
}

constexpr uint64_t kMixA = 0x9E3779B97F4A7C15ULL;  // odd constants with mixed bits
constexpr uint64_t kMixB = 0xD6E8FEB86659FD93ULL;

// `head` is head_of(bytes).
uint64_t hash_bytes(uint64_t head, std::string_view bytes) {
  uint64_t h = mix(head ^ kMixA, kMixB ^ bytes.size());
  while (bytes.size() > 8) {
    bytes.remove_prefix(8);
    h = mix(h ^ head_of(bytes), kMixB);
  }
  return h;
}

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

uint64_t hash_pair(uint64_t key) {
  return mix(key ^ kMixA, kMixB);
}

}  // namespace

std::optional<std::string> bytes_of_vocab_string(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (!c.valid || c.code >= kAlphabet.byte_of.size() || kAlphabet.byte_of[c.code] < 0) {
      return std::nullopt;
    }
    out += static_cast<char>(kAlphabet.byte_of[c.code]);
    i += static_cast<size_t>(c.length);
  }
  return out;
}

std::string vocab_string_of_bytes(std::string_view bytes) {
  std::string out;
  for (const char b : bytes) {
    append_utf8(out, kAlphabet.code_of[static_cast<unsigned char>(b)]);
  }
  return out;
}

std::string_view BpeModel::bytes(int32_t id) const {
  if (!has(id)) {
    return {};
  }
  const Span& span = spans_[static_cast<size_t>(id)];
  return std::string_view(storage_).substr(span.offset, span.length);
}

const BpeModel::Slot* BpeModel::find_slot(std::string_view wanted) const {
  const uint64_t head = head_of(wanted);
  const size_t mask = index_.size() - 1;
  for (size_t at = hash_bytes(head, wanted) & mask; index_[at].id >= 0; at = (at + 1) & mask) {
    const Slot& slot = index_[at];
    if (slot.head == head && slot.length == wanted.size() &&
        (wanted.size() <= 8 || bytes(slot.id) == wanted)) {
      return &slot;
    }
  }
  return nullptr;
}

std::optional<int32_t> BpeModel::find(std::string_view wanted) const {
  const Slot* slot = find_slot(wanted);
  return slot != nullptr ? std::optional<int32_t>(slot->id) : std::nullopt;
}

void BpeModel::index_token(int32_t id) {
  const std::string_view token = bytes(id);
  const uint64_t head = head_of(token);
  const size_t mask = index_.size() - 1;
  size_t at = hash_bytes(head, token) & mask;
  while (index_[at].id >= 0) {
    at = (at + 1) & mask;
  }
  index_[at].head = head;
  index_[at].id = id;
  index_[at].length = static_cast<uint32_t>(token.size()) & 0x7FFFFFFFU;
}

BpeModel::Pair BpeModel::find_merge(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  const size_t mask = merges_.size() - 1;
  for (size_t at = hash_pair(key) & mask; merges_[at].key != UINT64_MAX; at = (at + 1) & mask) {
    if (merges_[at].key == key) {
      return merges_[at].pair;
    }
  }
  return {};
}

void BpeModel::add_merge(int32_t left, int32_t right, Pair pair) {
  const uint64_t key = pair_key(left, right);
  const size_t mask = merges_.size() - 1;
  size_t at = hash_pair(key) & mask;
  while (merges_[at].key != UINT64_MAX && merges_[at].key != key) {
    at = (at + 1) & mask;
  }
  merges_[at] = {key, pair};
}

void BpeModel::index_byte_pairs() {
  byte_pairs_.resize(size_t{256} * 256);
  for (size_t left = 0; left < 256; ++left) {
    for (size_t right = 0; right < 256; ++right) {
      byte_pairs_[left * 256 + right] = find_merge(byte_ids_[left], byte_ids_[right]);
    }
  }
}

// One symbol per byte, and the pair that begins at each.
Status BpeModel::first_symbols(std::string_view piece, BpeScratch& s) const {
  s.ids.resize(piece.size());
  s.rank.resize(piece.size());
  s.merged.resize(piece.size());
  for (size_t i = 0; i < piece.size(); ++i) {
    const auto byte = static_cast<unsigned char>(piece[i]);
    s.ids[i] = byte_ids_[byte];
    if (s.ids[i] < 0) {
      return error(StatusCode::kUnsupported,
                   "the text has byte 0x{:02x}, for which this vocabulary has no token",
                   byte);
    }
    Pair pair;
    if (i + 1 < piece.size()) {
      pair = byte_pairs_[size_t{byte} * 256 + static_cast<unsigned char>(piece[i + 1])];
    }
    s.rank[i] = pair.rank;
    s.merged[i] = pair.id;
  }
  return ok_status();
}

// Looks at all pairs for the best one and closes the gap by moving: quadratic, for short pieces.
void BpeModel::merge_short(BpeScratch& s) const {
  size_t count = s.ids.size();
  int32_t* const ids = s.ids.data();
  int32_t* const rank = s.rank.data();
  int32_t* const merged = s.merged.data();
  const auto update = [&](size_t i) {
    const Pair pair = i + 1 < count ? find_merge(ids[i], ids[i + 1]) : Pair{};
    rank[i] = pair.rank;
    merged[i] = pair.id;
  };
  while (count > 1) {
    // min_element returns the first of equals: leftmost wins.
    const auto at = static_cast<size_t>(std::min_element(rank, rank + count) - rank);
    if (rank[at] == kNoRank) {
      break;
    }
    ids[at] = merged[at];
    for (size_t i = at + 1; i + 1 < count; ++i) {
      ids[i] = ids[i + 1];
      rank[i] = rank[i + 1];
      merged[i] = merged[i + 1];
    }
    --count;
    update(at);
    if (at > 0) {
      update(at - 1);
    }
  }
  s.ids.resize(count);
}

// Renews the pair that begins at `at` and files it under its rank.
void BpeModel::set_pair(BpeScratch& s, uint32_t at) const {
  const uint32_t next = s.next[at];
  const Pair pair = next != kNone ? find_merge(s.ids[at], s.ids[next]) : Pair{};
  s.rank[at] = pair.rank;
  s.merged[at] = pair.id;
  if (pair.rank == kNoRank) {
    return;
  }
  std::vector<uint32_t>& positions = s.by_rank[pair.rank];
  if (positions.empty()) {
    s.ranks.push_back(pair.rank);
    std::push_heap(s.ranks.begin(), s.ranks.end(), std::greater<>());
  }
  positions.push_back(at);
}

void BpeModel::merge_at(BpeScratch& s, uint32_t at) const {
  const uint32_t gone = s.next[at];
  s.ids[at] = s.merged[at];
  s.rank[gone] = kNoRank;
  s.next[at] = s.next[gone];
  if (s.next[at] != kNone) {
    s.previous[s.next[at]] = at;
  }
  set_pair(s, at);
  if (s.previous[at] != kNone) {
    set_pair(s, s.previous[at]);
  }
}

// Makes the linked list of symbols and files every pair under its rank.
void BpeModel::link_symbols(BpeScratch& s) const {
  const auto count = static_cast<uint32_t>(s.ids.size());
  s.next.resize(count);
  s.previous.resize(count);
  s.by_rank.clear();
  s.ranks.clear();
  for (uint32_t i = 0; i < count; ++i) {
    s.next[i] = i + 1 < count ? i + 1 : kNone;
    s.previous[i] = i > 0 ? i - 1 : kNone;
  }
  for (uint32_t i = 0; i < count; ++i) {
    set_pair(s, i);
  }
}

// Merges the pairs of one rank from left to right. In an odd merge list a new pair may rank before
// them: then the rest is filed again and waits for its turn.
void BpeModel::merge_batch(BpeScratch& s, int32_t rank, std::span<const uint32_t> batch) const {
  bool overtaken = false;
  for (const uint32_t at : batch) {
    if (s.rank[at] != rank) {
      continue;  // stale
    }
    if (overtaken) {
      set_pair(s, at);
      continue;
    }
    merge_at(s, at);
    overtaken = !s.ranks.empty() && s.ranks.front() <= rank;
  }
}

// Linked list of symbols; the positions of each rank in a bucket, the ranks in a heap. A position
// is stale if its pair has another rank by now. Runs of one character, the usual long pieces, fill
// few buckets, which makes this several times faster than one heap of positions.
void BpeModel::merge_long(BpeScratch& s) const {
  link_symbols(s);
  while (!s.ranks.empty()) {
    const int32_t rank = s.ranks.front();
    std::pop_heap(s.ranks.begin(), s.ranks.end(), std::greater<>());
    s.ranks.pop_back();
    std::vector<uint32_t> batch = std::move(s.by_rank.extract(rank).mapped());
    if (!std::is_sorted(batch.begin(), batch.end())) {
      std::sort(batch.begin(), batch.end());
    }
    merge_batch(s, rank, batch);
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i != kNone; i = s.next[i]) {
    s.ids[kept++] = s.ids[i];
  }
  s.ids.resize(kept);
}

Status BpeModel::merge_bytes(std::string_view piece, BpeScratch& s) const {
  TUTTI_RETURN_IF_ERROR(first_symbols(piece, s));
  if (piece.size() <= kShortPiece) {
    merge_short(s);
  } else {
    merge_long(s);
  }
  return ok_status();
}

Status BpeModel::encode(std::string_view piece,
                        std::vector<int32_t>& out,
                        BpeScratch& scratch) const {
  if (piece.empty()) {
    return ok_status();
  }
  const Slot* slot = find_slot(piece);
  if (slot != nullptr && slot->direct != 0) {
    out.push_back(slot->id);
    return ok_status();
  }
  BpeScratch::Seen* seen = nullptr;
  if (!scratch.seen.empty() && piece.size() <= 2 * sizeof(uint64_t)) {
    const std::array<uint64_t, 2> bytes = {head_of(piece),
                                           piece.size() > 8 ? head_of(piece.substr(8)) : 0};
    const uint64_t hash = mix(bytes[0] ^ kMixA, bytes[1] ^ kMixB);
    seen = &scratch.seen[hash % BpeScratch::kSeenSize];
    if (seen->length == piece.size() && seen->bytes == bytes) {
      for (uint32_t i = 0; i < seen->count; ++i) {
        out.push_back(out[seen->begin + i]);
      }
      return ok_status();
    }
    seen->bytes = bytes;
    seen->length = 0;  // until the ids are known
  }
  TUTTI_RETURN_IF_ERROR(merge_bytes(piece, scratch));
  if (seen != nullptr && out.size() < UINT32_MAX) {
    seen->length = static_cast<uint16_t>(piece.size());
    seen->begin = static_cast<uint32_t>(out.size());
    seen->count = static_cast<uint16_t>(scratch.ids.size());
  }
  out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
  return ok_status();
}

}  // namespace tutti
