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

uint64_t load(const char* data, size_t size) {
  uint64_t word = 0;
  std::memcpy(&word, data, size);
  return word;
}

// Wide multiplication is an extension of both compilers.
__extension__ using Uint128 = unsigned __int128;

uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<Uint128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t hash_bytes(std::string_view bytes) {
  constexpr uint64_t kA = 0x9E3779B97F4A7C15ULL;  // odd constants with mixed bits
  constexpr uint64_t kB = 0xD6E8FEB86659FD93ULL;
  uint64_t h = kA ^ bytes.size();
  while (bytes.size() > 8) {
    h = mix(h ^ load(bytes.data(), 8), kB);
    bytes.remove_prefix(8);
  }
  return mix(h ^ load(bytes.data(), bytes.size()), kB);
}

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

uint64_t hash_pair(uint64_t key) {
  return mix(key ^ 0x9E3779B97F4A7C15ULL, 0xD6E8FEB86659FD93ULL);
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

std::optional<int32_t> BpeModel::find(std::string_view bytes_wanted) const {
  const uint64_t hash = hash_bytes(bytes_wanted);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  const size_t mask = index_.size() - 1;
  for (size_t slot = hash & mask; index_[slot].id >= 0; slot = (slot + 1) & mask) {
    if (index_[slot].tag == tag && bytes(index_[slot].id) == bytes_wanted) {
      return index_[slot].id;
    }
  }
  return std::nullopt;
}

void BpeModel::index_token(int32_t id) {
  const uint64_t hash = hash_bytes(bytes(id));
  const size_t mask = index_.size() - 1;
  size_t slot = hash & mask;
  while (index_[slot].id >= 0) {
    slot = (slot + 1) & mask;
  }
  index_[slot] = {static_cast<uint32_t>(hash >> 32), id};
}

const BpeModel::Merge* BpeModel::find_merge(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  const size_t mask = merges_.size() - 1;
  for (size_t slot = hash_pair(key) & mask; merges_[slot].key != UINT64_MAX;
       slot = (slot + 1) & mask) {
    if (merges_[slot].key == key) {
      return &merges_[slot];
    }
  }
  return nullptr;
}

void BpeModel::add_merge(int32_t left, int32_t right, int32_t rank, int32_t id) {
  const uint64_t key = pair_key(left, right);
  const size_t mask = merges_.size() - 1;
  size_t slot = hash_pair(key) & mask;
  while (merges_[slot].key != UINT64_MAX && merges_[slot].key != key) {
    slot = (slot + 1) & mask;
  }
  merges_[slot] = {key, rank, id};
}

Status BpeModel::first_ids(std::string_view piece, BpeScratch& s) const {
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
  }
  return ok_status();
}

// Pieces of some 60 bytes at most: find the best pair by looking at all, close the gap by moving.
void BpeModel::merge_short(BpeScratch& s) const {
  size_t count = s.ids.size();
  const auto update = [&](size_t i) {
    const Merge* merge = i + 1 < count ? find_merge(s.ids[i], s.ids[i + 1]) : nullptr;
    s.rank[i] = merge != nullptr ? merge->rank : kNoRank;
    s.merged[i] = merge != nullptr ? merge->id : -1;
  };
  for (size_t i = 0; i < count; ++i) {
    update(i);
  }
  while (count > 1) {
    // min_element returns the first of equals: leftmost wins.
    const auto begin = s.rank.begin();
    const auto best = std::min_element(begin, begin + static_cast<std::ptrdiff_t>(count));
    if (*best == kNoRank) {
      break;
    }
    const auto at = static_cast<size_t>(best - begin);
    s.ids[at] = s.merged[at];
    const size_t tail = count - at - 2;
    std::memmove(&s.ids[at] + 1, &s.ids[at] + 2, tail * sizeof(int32_t));
    std::memmove(&s.rank[at] + 1, &s.rank[at] + 2, tail * sizeof(int32_t));
    std::memmove(&s.merged[at] + 1, &s.merged[at] + 2, tail * sizeof(int32_t));
    --count;
    update(at);
    if (at > 0) {
      update(at - 1);
    }
  }
  s.ids.resize(count);
}

// The pair that begins at `at`: its rank (kNoRank: no merge) and the id it would become.
void BpeModel::set_pair(BpeScratch& s, uint32_t at) const {
  const uint32_t next = s.next[at];
  const Merge* merge = next != kNone ? find_merge(s.ids[at], s.ids[next]) : nullptr;
  s.rank[at] = merge != nullptr ? merge->rank : kNoRank;
  s.merged[at] = merge != nullptr ? merge->id : -1;
}

// Linked list of symbols and a heap of (rank, position). An entry is stale if the pair at its
// position has another rank by now.
void BpeModel::merge_long(BpeScratch& s) const {
  const auto count = static_cast<uint32_t>(s.ids.size());
  const auto entry = [&](uint32_t at) {
    return static_cast<uint64_t>(static_cast<uint32_t>(s.rank[at])) << 32 | at;
  };
  s.next.resize(count);
  s.previous.resize(count);
  s.heap.clear();
  for (uint32_t i = 0; i < count; ++i) {
    s.next[i] = i + 1 < count ? i + 1 : kNone;
    s.previous[i] = i > 0 ? i - 1 : kNone;
    set_pair(s, i);
    if (s.rank[i] != kNoRank) {
      s.heap.push_back(entry(i));
    }
  }
  const auto later = std::greater<uint64_t>();
  std::make_heap(s.heap.begin(), s.heap.end(), later);
  const auto renew = [&](uint32_t at) {
    set_pair(s, at);
    if (s.rank[at] != kNoRank) {
      s.heap.push_back(entry(at));
      std::push_heap(s.heap.begin(), s.heap.end(), later);
    }
  };
  while (!s.heap.empty()) {
    const uint64_t top = s.heap.front();
    std::pop_heap(s.heap.begin(), s.heap.end(), later);
    s.heap.pop_back();
    const auto at = static_cast<uint32_t>(top);
    if (s.rank[at] != static_cast<int32_t>(top >> 32)) {
      continue;
    }
    const uint32_t gone = s.next[at];
    s.ids[at] = s.merged[at];
    s.rank[gone] = kNoRank;
    s.next[at] = s.next[gone];
    if (s.next[at] != kNone) {
      s.previous[s.next[at]] = at;
    }
    renew(at);
    if (s.previous[at] != kNone) {
      renew(s.previous[at]);
    }
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i != kNone; i = s.next[i]) {
    s.ids[kept++] = s.ids[i];
  }
  s.ids.resize(kept);
}

Status BpeModel::merge_bytes(std::string_view piece, BpeScratch& s) const {
  TUTTI_RETURN_IF_ERROR(first_ids(piece, s));
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
  const std::optional<int32_t> whole = find(piece);
  if (whole && direct_[static_cast<size_t>(*whole)] != 0) {
    out.push_back(*whole);
    return ok_status();
  }
  TUTTI_RETURN_IF_ERROR(merge_bytes(piece, scratch));
  out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
  return ok_status();
}

}  // namespace tutti
