// Byte-level byte-pair encoding (Sennrich et al., arXiv 1508.07909): the model of tokenizer.json.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace tutti {

/// Token ids must be below this: tables have one entry per id.
inline constexpr int32_t kMaxTokenIds = 1 << 24;

/// Working memory of BpeModel::encode; keep one for all pieces of a text.
struct BpeScratch {
  std::vector<int32_t> ids;
  std::vector<int32_t> rank;    // of the pair that begins at each symbol
  std::vector<int32_t> merged;  // what that pair becomes
  std::vector<uint32_t> next;
  std::vector<uint32_t> previous;
  std::unordered_map<int32_t, std::vector<uint32_t>> by_rank;
  std::vector<int32_t> ranks;  // heap: keys of by_rank

  /// A short piece merged before, and where its ids are in the output.
  struct Seen {
    std::array<uint64_t, 2> bytes{};
    uint32_t begin = 0;
    uint16_t count = 0;
    uint16_t length = 0;  ///< 0: free
  };

  std::vector<Seen> seen;  ///< empty, or kSeenSize entries: remember pieces (long texts)
  static constexpr size_t kSeenSize = 4096;
};

/// Bytes that stand for themselves in vocabulary strings; the others are shifted to U+0100 and up
/// (GPT-2's bytes_to_unicode).
/// Returns the bytes of a vocabulary string, or nothing if it has other characters.
std::optional<std::string> bytes_of_vocab_string(std::string_view text);

/// The vocabulary string of some bytes.
std::string vocab_string_of_bytes(std::string_view bytes);

/// Immutable; shared by threads.
class BpeModel {
 public:
  /// The "model" object of tokenizer.json. Refuses other types and options that change results.
  static Result<BpeModel> from_json(const Json& json, const std::string& where);

  /// Appends the ids of one pre-token. kUnsupported if the vocabulary lacks one of its bytes.
  /// O(n log n) in the bytes of the piece, which must be fewer than 2^31. With one scratch, `out`
  /// must be the same vector and only grow.
  Status encode(std::string_view piece, std::vector<int32_t>& out, BpeScratch& scratch) const;

  /// Largest id + 1.
  int32_t size() const { return static_cast<int32_t>(spans_.size()); }

  bool has(int32_t id) const {
    return id >= 0 && id < size() && spans_[static_cast<size_t>(id)].length != kNoToken;
  }

  /// Bytes of a token; empty for an unknown id.
  std::string_view bytes(int32_t id) const;

  /// The token with exactly these bytes.
  std::optional<int32_t> find(std::string_view bytes) const;

 private:
  friend class BpeLoader;
  static constexpr uint32_t kNoToken = UINT32_MAX;

  struct Span {
    uint32_t offset = 0;
    uint32_t length = kNoToken;
  };

  struct Pair {
    int32_t rank = INT32_MAX;
    int32_t id = -1;
  };

  struct Merge {
    uint64_t key = UINT64_MAX;  ///< left id << 32 | right id
    Pair pair;
  };

  // Tokens of up to eight bytes are recognised by the slot alone.
  struct Slot {
    uint64_t head = 0;  ///< the first eight bytes, zeros after the end
    int32_t id = -1;
    uint32_t length : 31 = 0;
    uint32_t direct : 1 = 0;
  };

  const Slot* find_slot(std::string_view bytes) const;
  Pair find_merge(int32_t left, int32_t right) const;
  void add_merge(int32_t left, int32_t right, Pair pair);
  void index_token(int32_t id);
  void index_byte_pairs();
  void set_pair(BpeScratch& s, uint32_t at) const;
  Status first_symbols(std::string_view piece, BpeScratch& s) const;
  void merge_short(BpeScratch& s) const;
  void merge_long(BpeScratch& s) const;
  void link_symbols(BpeScratch& s) const;
  void merge_at(BpeScratch& s, uint32_t at) const;
  void merge_batch(BpeScratch& s, int32_t rank, std::span<const uint32_t> batch) const;
  Status merge_bytes(std::string_view piece, BpeScratch& s) const;

  std::string storage_;      // token bytes, by spans_
  std::vector<Span> spans_;  // by id
  // Open addressing over token bytes. `direct`: encoding the token's own bytes gives the token, so
  // a piece equal to it needs no merging (always so with ignore_merges).
  std::vector<Slot> index_;
  std::vector<Merge> merges_;  // open addressing over id pairs
  std::array<int32_t, 256> byte_ids_{};
  std::vector<Pair> byte_pairs_;  // [left byte * 256 + right byte]
};

}  // namespace tutti
