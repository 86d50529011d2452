#include "text/bpe.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>

#include "base/check.h"
#include "base/utf8.h"

namespace tutti {

namespace {

// Up to here a linear search for the best pair beats the heap.
constexpr size_t kShortPiece = 64;
constexpr uint32_t kNone = UINT32_MAX;
// A sweep over a long piece is worth it if it merges this part of the symbols.
constexpr size_t kSweepShare = 8;

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

// As head_of; at least `readable` bytes may be read from `data`.
uint64_t word_at(const char* data, size_t size, size_t readable) {
  if (readable < sizeof(uint64_t)) {
    return head_of(std::string_view(data, size));
  }
  const uint64_t word = load<uint64_t>(data);
  return size >= sizeof(word) ? word : word & ((uint64_t{1} << (8 * size)) - 1);
}

// How SentencePiece writes a space: U+2581.
constexpr std::string_view kSpaceSymbol = "\u2581";

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

uint64_t hash_pair(uint64_t key) {
  return mix(key ^ kMixA, kMixB);
}

// Other bits of the hash than those that choose the place in the table. `words`: a power of two.
uint64_t filter_bit(uint64_t hash, size_t words) {
  return hash >> 32 & (words * 64 - 1);
}

}  // namespace

void BpeScratch::Bucket::push(uint32_t position) {
  if (!is_heap_ && !empty() && position < at_.back()) {
    at_.erase(at_.begin(), at_.begin() + static_cast<std::ptrdiff_t>(next_));
    next_ = 0;
    std::make_heap(at_.begin(), at_.end(), std::greater<>());
    is_heap_ = true;
  }
  at_.push_back(position);
  if (is_heap_) {
    std::push_heap(at_.begin(), at_.end(), std::greater<>());
  }
}

uint32_t BpeScratch::Bucket::pop() {
  if (!is_heap_) {
    return at_[next_++];
  }
  std::pop_heap(at_.begin(), at_.end(), std::greater<>());
  const uint32_t position = at_.back();
  at_.pop_back();
  return position;
}

std::string_view BpeModel::bytes(int32_t id) const {
  if (!has(id)) {
    return {};
  }
  const Span& span = spans_[static_cast<size_t>(id)];
  return std::string_view(storage_).substr(span.offset, span.length);
}

size_t BpeModel::table_size(size_t entries) {
  return std::bit_ceil(entries * 2 + 2);
}

// At least `readable` >= bytes.size() bytes may be read from where `bytes` begin.
BpeModel::Key BpeModel::make_key(std::string_view bytes, size_t readable) {
  Key key{};
  const size_t size = bytes.size();
  key.head = word_at(bytes.data(), size, readable);
  key.hash = mix(key.head ^ kMixA, kMixB ^ size);
  if (size > 8) {
    key.tail = word_at(bytes.data() + 8, size - 8, readable - 8);
    key.hash = mix(key.hash ^ key.tail, kMixB);
    for (size_t i = 16; i < size; i += 8) {
      key.hash = mix(key.hash ^ head_of(bytes.substr(i)), kMixB);
    }
  }
  return key;
}

const BpeModel::Slot* BpeModel::find_slot(std::string_view wanted, const Key& key) const {
  const size_t mask = index_.size() - 1;
  for (size_t at = key.hash & mask; index_[at].id >= 0; at = (at + 1) & mask) {
    const Slot& slot = index_[at];
    if (slot.head == key.head && slot.tail == key.tail && slot.length == wanted.size() &&
        (wanted.size() <= 16 || bytes(slot.id) == wanted)) {
      return &slot;
    }
  }
  return nullptr;
}

std::optional<int32_t> BpeModel::find(std::string_view wanted) const {
  const Slot* slot = find_slot(wanted, make_key(wanted, wanted.size()));
  return slot != nullptr ? std::optional<int32_t>(slot->id) : std::nullopt;
}

std::optional<std::string> BpeModel::stored_form(std::string_view vocab_string) const {
  return symbols_ == BpeSymbols::kBytes ? bytes_of_vocab_string(vocab_string)
                                        : std::optional<std::string>(vocab_string);
}

void BpeModel::index_token(int32_t id) {
  const std::string_view token = bytes(id);
  const Key key = make_key(token, token.size());
  const size_t mask = index_.size() - 1;
  size_t at = key.hash & mask;
  while (index_[at].id >= 0) {
    at = (at + 1) & mask;
  }
  index_[at].head = key.head;
  index_[at].tail = key.tail;
  index_[at].id = id;
  index_[at].length = static_cast<uint32_t>(token.size()) & 0x7FFFFFFFU;
}

int32_t BpeModel::find_rank(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  const uint64_t hash = hash_pair(key);
  const uint64_t bit = filter_bit(hash, pair_filter_.size());
  if ((pair_filter_[bit / 64] >> (bit % 64) & 1U) == 0) {
    return kNoRank;
  }
  const size_t mask = merges_.size() - 1;
  for (size_t at = hash & mask; merges_[at].key != UINT64_MAX; at = (at + 1) & mask) {
    if (merges_[at].key == key) {
      return merges_[at].rank;
    }
  }
  return kNoRank;
}

void BpeModel::add_merge(int32_t left, int32_t right, int32_t rank) {
  const uint64_t key = pair_key(left, right);
  const size_t mask = merges_.size() - 1;
  const uint64_t hash = hash_pair(key);
  size_t at = hash & mask;
  while (merges_[at].key != UINT64_MAX && merges_[at].key != key) {
    at = (at + 1) & mask;
  }
  const uint64_t bit = filter_bit(hash, pair_filter_.size());
  pair_filter_[bit / 64] |= uint64_t{1} << (bit % 64);
  merges_[at] = {key, rank};
}

void BpeModel::index_byte_pairs() {
  byte_pairs_.resize(size_t{256} * 256);
  for (size_t left = 0; left < 256; ++left) {
    for (size_t right = 0; right < 256; ++right) {
      byte_pairs_[left * 256 + right] = find_rank(byte_ids_[left], byte_ids_[right]);
    }
  }
}

// One symbol per byte, or per character where that comes to the same, and the pair that begins at
// each.
Status BpeModel::first_bytes(std::string_view piece, BpeScratch& s) const {
  s.ids.clear();
  bool only_bytes = true;
  for (size_t i = 0; i < piece.size();) {
    const auto byte = static_cast<unsigned char>(piece[i]);
    if (byte >= 0xC2) {
      const Utf8Char c = decode_utf8(piece, i);
      const int32_t id = c.valid ? whole_.find(piece, i, c) : -1;
      if (id >= 0) {
        s.ids.push_back(id);
        only_bytes = false;
        i += static_cast<size_t>(c.length);
        continue;
      }
    }
    if (byte_ids_[byte] < 0) {
      return error(StatusCode::kUnsupported,
                   "the text has byte 0x{:02x}, for which this vocabulary has no token",
                   byte);
    }
    s.ids.push_back(byte_ids_[byte]);
    ++i;
  }
  if (!only_bytes) {
    first_ranks(s);
    return ok_status();
  }
  s.rank.resize(s.ids.size());
  for (size_t i = 0; i + 1 < piece.size(); ++i) {
    s.rank[i] = byte_pairs_[size_t{static_cast<unsigned char>(piece[i])} * 256 +
                            static_cast<unsigned char>(piece[i + 1])];
  }
  s.rank.back() = kNoRank;
  return ok_status();
}

void BpeModel::first_ranks(BpeScratch& s) const {
  s.rank.resize(s.ids.size());
  for (size_t i = 0; i + 1 < s.ids.size(); ++i) {
    s.rank[i] = find_rank(s.ids[i], s.ids[i + 1]);
  }
  s.rank.back() = kNoRank;
}

// One symbol per character of the vocabulary; others become fallback bytes, or unk_token.
Status BpeModel::first_characters(std::string_view piece, BpeScratch& s) const {
  s.ids.clear();
  bool after_unknown = false;
  for (size_t i = 0; i < piece.size();) {
    const auto length = static_cast<size_t>(decode_utf8(piece, i).length);
    const std::string_view character = piece.substr(i, length);
    const Slot* slot = find_slot(character, make_key(character, piece.size() - i));
    i += length;
    if (slot != nullptr) {
      s.ids.push_back(slot->id);
      after_unknown = false;
      continue;
    }
    const bool has_bytes = std::all_of(character.begin(), character.end(), [&](char c) {
      return byte_ids_[static_cast<unsigned char>(c)] >= 0;
    });
    if (has_bytes) {
      for (const char c : character) {
        s.ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
      }
      after_unknown = false;
    } else if (unknown_id_ < 0) {
      return error(StatusCode::kUnsupported,
                   "the text has the character \"{}\", for which this vocabulary has no token",
                   character);
    } else if (!after_unknown || !fuse_unknown_) {
      s.ids.push_back(unknown_id_);
      after_unknown = true;
    }
  }
  if (!s.ids.empty()) {
    first_ranks(s);
  }
  return ok_status();
}

// Looks at all pairs for the best one and closes the gap by moving: quadratic, for short pieces.
void BpeModel::merge_short(BpeScratch& s) const {
  size_t count = s.ids.size();
  int32_t* const ids = s.ids.data();
  int32_t* const rank = s.rank.data();
  const auto update = [&](size_t i) {
    rank[i] = i + 1 < count ? find_rank(ids[i], ids[i + 1]) : kNoRank;
  };
  while (count > 1) {
    // min_element returns the first of equals: leftmost wins.
    const auto at = static_cast<size_t>(std::min_element(rank, rank + count) - rank);
    if (rank[at] == kNoRank) {
      break;
    }
    ids[at] = made_[static_cast<size_t>(rank[at])];
    --count;
    const size_t moved = (count - at - 1) * sizeof(int32_t);
    std::memmove(ids + at + 1, ids + at + 2, moved);
    std::memmove(rank + at + 1, rank + at + 2, moved);
    update(at);
    if (at > 0) {
      update(at - 1);
    }
  }
  s.ids.resize(count);
}

// Merges the pairs of one rank from left to right, closing the gaps in the same pass. In an odd
// merge list a new pair may rank before them: then the rest stays for later. Returns how many.
size_t BpeModel::sweep(BpeScratch& s, int32_t rank) const {
  const int32_t made = made_[static_cast<size_t>(rank)];
  const size_t count = s.ids.size();
  size_t kept = 0;
  size_t merges = 0;
  bool overtaken = false;
  for (size_t i = 0; i < count;) {
    if (overtaken || s.rank[i] != rank) {
      s.ids[kept] = s.ids[i];
      s.rank[kept++] = s.rank[i++];
      continue;
    }
    i += 2;
    ++merges;
    if (kept > 0) {
      s.rank[kept - 1] = find_rank(s.ids[kept - 1], made);
      overtaken = s.rank[kept - 1] <= rank;
    }
    s.ids[kept] = made;
    s.rank[kept] = i < count ? find_rank(made, s.ids[i]) : kNoRank;
    overtaken = overtaken || s.rank[kept] <= rank;
    ++kept;
  }
  s.ids.resize(kept);
  s.rank.resize(kept);
  return merges;
}

// Runs of one character, the usual long pieces, are mostly pairs of one rank: sweeping over all
// symbols halves them each time, in two words of memory per symbol. Ends when a sweep no longer
// shortens the piece by a fair share. True if nothing is left to merge.
bool BpeModel::merge_runs(BpeScratch& s) const {
  size_t merges = s.ids.size();
  while (s.ids.size() > kShortPiece && merges >= s.ids.size() / kSweepShare) {
    int32_t best = kNoRank;
    size_t times = 0;
    for (const int32_t rank : s.rank) {
      if (rank < best) {
        best = rank;
        times = 0;
      }
      times += rank == best ? 1 : 0;
    }
    if (best == kNoRank) {
      return true;
    }
    if (times < s.ids.size() / kSweepShare) {
      return false;
    }
    merges = sweep(s, best);
  }
  return false;
}

// Renews the pair that begins at `at` and files it under its rank.
void BpeModel::set_pair(BpeScratch& s, uint32_t at) const {
  const uint32_t next = s.next[at];
  const int32_t rank = next != kNone ? find_rank(s.ids[at], s.ids[next]) : kNoRank;
  s.rank[at] = rank;
  if (rank == kNoRank) {
    return;
  }
  BpeScratch::Bucket& bucket = s.by_rank[rank];
  if (bucket.empty()) {
    s.ranks.push_back(rank);
    std::push_heap(s.ranks.begin(), s.ranks.end(), std::greater<>());
  }
  bucket.push(at);
}

void BpeModel::merge_at(BpeScratch& s, uint32_t at) const {
  const uint32_t gone = s.next[at];
  s.ids[at] = made_[static_cast<size_t>(s.rank[at])];
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

// Linked list of symbols; the positions of each rank in a bucket, the ranks in a heap. A position
// is stale if its pair has another rank by now. Repetitive text fills few buckets, which makes this
// several times faster than one heap of positions; O(n log n) also for merge lists in which new
// pairs rank before older ones (Gemma's runs of spaces and of line ends).
void BpeModel::merge_long(BpeScratch& s) const {
  link_symbols(s);
  while (!s.ranks.empty()) {
    const int32_t rank = s.ranks.front();
    const auto bucket = s.by_rank.find(rank);
    const uint32_t at = bucket->second.pop();
    if (bucket->second.empty()) {
      s.by_rank.erase(bucket);
      std::pop_heap(s.ranks.begin(), s.ranks.end(), std::greater<>());
      s.ranks.pop_back();
    }
    if (s.rank[at] == rank) {
      merge_at(s, at);
    }
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i != kNone; i = s.next[i]) {
    s.ids[kept++] = s.ids[i];
  }
  s.ids.resize(kept);
}

Status BpeModel::merge_piece(std::string_view piece, BpeScratch& s) const {
  TUTTI_RETURN_IF_ERROR(symbols_ == BpeSymbols::kBytes ? first_bytes(piece, s)
                                                       : first_characters(piece, s));
  if (s.ids.size() > kShortPiece && merge_runs(s)) {
    return ok_status();
  }
  if (s.ids.size() <= kShortPiece) {
    merge_short(s);
  } else {
    merge_long(s);
  }
  return ok_status();
}

Status BpeModel::encode_merged(std::string_view piece,
                               const Key& key,
                               std::vector<int32_t>& out,
                               BpeScratch& scratch) const {
  BpeScratch::Seen* seen = nullptr;
  if (!scratch.seen.empty() && piece.size() <= BpeScratch::kSeenBytes) {
    seen = &scratch.seen[(key.hash >> 32) % BpeScratch::kSeenSize];
    if (seen->length == piece.size() && seen->bytes[0] == key.head && seen->bytes[1] == key.tail) {
      out.insert(out.end(), seen->ids.begin(), seen->ids.begin() + seen->count);
      return ok_status();
    }
  }
  TUTTI_RETURN_IF_ERROR(merge_piece(piece, scratch));
  const std::vector<int32_t>& ids = scratch.ids;
  if (seen != nullptr && ids.size() <= BpeScratch::kSeenIds) {
    seen->bytes = {key.head, key.tail};
    seen->length = static_cast<uint8_t>(piece.size());
    seen->count = static_cast<uint8_t>(ids.size());
    std::copy(ids.begin(), ids.end(), seen->ids.begin());
  }
  out.insert(out.end(), ids.begin(), ids.end());
  return ok_status();
}

Status BpeModel::encode_pieces(std::string_view text,
                               uint32_t begin,
                               std::span<const uint32_t> ends,
                               std::vector<int32_t>& out,
                               BpeScratch& scratch) const {
  TUTTI_CHECK(ends.size() <= kMaxPieces);
  std::array<Key, kMaxPieces> keys;
  const size_t mask = index_.size() - 1;
  uint32_t at = begin;
  for (size_t i = 0; i < ends.size(); ++i) {
    keys[i] = make_key(text.substr(at, ends[i] - at), text.size() - at);
    __builtin_prefetch(&index_[keys[i].hash & mask]);
    at = ends[i];
  }
  at = begin;
  for (size_t i = 0; i < ends.size(); ++i) {
    const std::string_view piece = text.substr(at, ends[i] - at);
    at = ends[i];
    const Slot* slot = find_slot(piece, keys[i]);
    if (slot != nullptr && slot->direct != 0) {
      out.push_back(slot->id);
    } else {
      TUTTI_RETURN_IF_ERROR(encode_merged(piece, keys[i], out, scratch));
    }
  }
  return ok_status();
}

// Whether no merge can join what is before `at` with what is after it.
bool BpeModel::may_cut(std::string_view piece, size_t at) const {
  return piece.substr(at).starts_with(kSpaceSymbol) &&
         !piece.substr(0, at).ends_with(kSpaceSymbol) &&
         !joins_space_[static_cast<unsigned char>(piece[at - 1])];
}

// A text without pre-tokenizer is one piece of any length: merge its words apart.
Status BpeModel::encode_in_parts(std::string_view piece,
                                 std::vector<int32_t>& out,
                                 BpeScratch& scratch) const {
  std::array<uint32_t, kMaxPieces> ends;
  uint32_t begin = 0;
  size_t count = 0;
  size_t from = 1;
  for (uint32_t at = 0; at < piece.size();) {
    const size_t found = piece.find(kSpaceSymbol, from);
    from = found + 1;
    if (found != std::string_view::npos && !may_cut(piece, found)) {
      continue;
    }
    at = static_cast<uint32_t>(std::min(found, piece.size()));
    ends[count++] = at;
    if (count == ends.size() || at == piece.size()) {
      TUTTI_RETURN_IF_ERROR(
          encode_pieces(piece, begin, std::span(ends).first(count), out, scratch));
      begin = at;
      count = 0;
    }
  }
  return ok_status();
}

Status BpeModel::encode(std::string_view piece,
                        std::vector<int32_t>& out,
                        BpeScratch& scratch) const {
  if (piece.empty()) {
    return ok_status();
  }
  if (cuts_at_spaces_) {
    return encode_in_parts(piece, out, scratch);
  }
  const auto end = static_cast<uint32_t>(piece.size());
  return encode_pieces(piece, 0, std::span(&end, 1), out, scratch);
}

}  // namespace tutti
