// Byte-pair encoding (Sennrich et al., arXiv 1508.07909): the model of tokenizer.json, over bytes
// (GPT-2 and its heirs) or over characters with bytes for unknown ones (SentencePiece's way).
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
#include "text/whole_characters.h"

namespace tutti {

/// Token ids must be below this: tables have one entry per id.
inline constexpr int32_t kMaxTokenIds = 1 << 24;

/// A token of tiktoken's vocabularies; its rank is its id.
struct TokenRank {
  std::string bytes;
  int32_t rank = 0;
};

/// What a piece consists of before merging.
enum class BpeSymbols {
  kBytes,      ///< bytes; the vocabulary spells them in GPT-2's alphabet
  kCharacters  ///< characters; those the vocabulary lacks are tokens <0x00>..<0xFF> or unk_token
};

/// Working memory of BpeModel::encode; keep one for all pieces of a text.
struct BpeScratch {
  std::vector<int32_t> ids;
  std::vector<int32_t> rank;  // of the pair that begins at each symbol
  std::vector<uint32_t> next;
  std::vector<uint32_t> previous;

  /// Positions of the pairs of one rank, smallest first. They mostly come in order and are a list
  /// then; once one comes out of order, a heap.
  class Bucket {
   public:
    bool empty() const { return next_ == at_.size(); }

    void push(uint32_t position);
    uint32_t pop();

   private:
    std::vector<uint32_t> at_;
    size_t next_ = 0;  ///< of a list: what is before has been taken
    bool is_heap_ = false;
  };

  std::unordered_map<int32_t, Bucket> by_rank;
  std::vector<int32_t> ranks;  // heap: keys of by_rank

  static constexpr size_t kSeenBytes = 16;
  static constexpr size_t kSeenIds = 6;

  /// A short piece merged before, and its ids.
  struct Seen {
    std::array<uint64_t, 2> bytes{};
    std::array<int32_t, kSeenIds> ids{};
    uint8_t count = 0;
    uint8_t length = 0;  ///< 0: free
  };

  std::vector<Seen> seen;  ///< empty, or kSeenSize entries: remember pieces (long texts)
  static constexpr size_t kSeenSize = 4096;  // 192 KiB, so that it stays in the second-level cache
};

/// Bytes that stand for themselves in vocabulary strings; the others are shifted to U+0100 and up
/// (GPT-2's bytes_to_unicode).
/// Returns the bytes of a vocabulary string, or nothing if it has other characters.
std::optional<std::string> bytes_of_vocab_string(std::string_view text);

/// The vocabulary string of some bytes.
std::string vocab_string_of_bytes(std::string_view bytes);

/// The byte of "<0x0A>", or nothing.
std::optional<uint8_t> byte_of_fallback_token(std::string_view text);

/// Immutable; shared by threads.
class BpeModel {
 public:
  /// The "model" object of tokenizer.json. Refuses other types and options that change results.
  static Result<BpeModel> from_json(const Json& json,
                                    const std::string& where,
                                    BpeSymbols symbols = BpeSymbols::kBytes);

  /// tiktoken's: neighbours merge if their bytes joined are a token, the lowest rank first, and a
  /// piece that is a token is that. kCorrupt: a token or rank that is given twice.
  static Result<BpeModel> from_ranks(std::span<const TokenRank> tokens, const std::string& where);

  /// Appends the ids of one pre-token. kUnsupported if the vocabulary lacks one of its bytes.
  /// O(n log n) in the bytes of the piece, which must be fewer than 2^31.
  Status encode(std::string_view piece, std::vector<int32_t>& out, BpeScratch& scratch) const;

  /// At most this many pieces per call of encode_pieces.
  static constexpr size_t kMaxPieces = 256;

  /// The same for pieces that follow each other in `text`: the first begins at `begin`, `ends` are
  /// their ends. Faster than one by one: the processor fetches all their table entries at once.
  Status encode_pieces(std::string_view text,
                       uint32_t begin,
                       std::span<const uint32_t> ends,
                       std::vector<int32_t>& out,
                       BpeScratch& scratch) const;

  BpeSymbols symbols() const { return symbols_; }

  /// Largest id + 1.
  int32_t size() const { return static_cast<int32_t>(spans_.size()); }

  bool has(int32_t id) const {
    return id >= 0 && id < size() && spans_[static_cast<size_t>(id)].length != kNoToken;
  }

  /// Bytes of a token (with kCharacters: its vocabulary string); empty for an unknown id.
  std::string_view bytes(int32_t id) const;

  /// The token with exactly these bytes.
  std::optional<int32_t> find(std::string_view bytes) const;

  /// What bytes() of a token with this vocabulary string would be; nothing if no text has it.
  std::optional<std::string> stored_form(std::string_view vocab_string) const;

 private:
  friend class BpeLoader;
  friend class RankedBpeLoader;
  friend class WholeCharactersFinder;
  static constexpr uint32_t kNoToken = UINT32_MAX;
  static constexpr int32_t kNoRank = INT32_MAX;

  struct Span {
    uint32_t offset = 0;
    uint32_t length = kNoToken;
  };

  struct Merge {
    uint64_t key = UINT64_MAX;  ///< left id << 32 | right id
    int32_t rank = kNoRank;
  };

  /// Some bytes as the index sees them.
  struct Key {
    uint64_t head;  ///< the first eight bytes, zeros after the end
    uint64_t tail;  ///< the next eight
    uint64_t hash;  ///< of all bytes
  };

  // Tokens of up to 16 bytes are recognised by the slot alone.
  struct Slot {
    uint64_t head = 0;
    uint64_t tail = 0;
    int32_t id = -1;
    uint32_t length : 31 = 0;
    uint32_t direct : 1 = 0;
  };

  static size_t table_size(size_t entries);
  static Key make_key(std::string_view bytes, size_t readable);
  const Slot* find_slot(std::string_view bytes, const Key& key) const;
  int32_t find_rank(int32_t left, int32_t right) const;
  void add_merge(int32_t left, int32_t right, int32_t rank);
  void index_token(int32_t id);
  void index_byte_pairs();
  void set_pair(BpeScratch& s, uint32_t at) const;
  Status encode_merged(std::string_view piece,
                       const Key& key,
                       std::vector<int32_t>& out,
                       BpeScratch& scratch) const;
  Status encode_in_parts(std::string_view piece,
                         std::vector<int32_t>& out,
                         BpeScratch& scratch) const;
  bool may_cut(std::string_view piece, size_t at) const;
  Status first_bytes(std::string_view piece, BpeScratch& s) const;
  Status first_characters(std::string_view piece, BpeScratch& s) const;
  void first_ranks(BpeScratch& s) const;
  bool merge_runs(BpeScratch& s) const;
  size_t sweep(BpeScratch& s, int32_t rank) const;
  void merge_short(BpeScratch& s) const;
  void merge_long(BpeScratch& s) const;
  void link_symbols(BpeScratch& s) const;
  void merge_at(BpeScratch& s, uint32_t at) const;
  Status merge_piece(std::string_view piece, BpeScratch& s) const;

  BpeSymbols symbols_ = BpeSymbols::kBytes;
  std::string storage_;      // token bytes, by spans_
  std::vector<Span> spans_;  // by id
  // Open addressing over token bytes. `direct`: encoding the token's own bytes gives the token, so
  // a piece equal to it needs no merging (always so with ignore_merges).
  std::vector<Slot> index_;
  std::vector<Merge> merges_;  // open addressing over id pairs
  std::vector<int32_t> made_;  // by rank: the token the pair becomes
  // One bit per hash of a pair in merges_: most pairs asked for do not merge, and this much smaller
  // table says so for nine in ten of them.
  std::vector<uint64_t> pair_filter_;
  std::array<int32_t, 256> byte_ids_{};  // kCharacters: of the fallback tokens, -1: none
  std::vector<int32_t> byte_pairs_;      // kBytes: rank of [left byte * 256 + right byte]
  WholeCharacters whole_;                // kBytes

  // kCharacters only
  int32_t unknown_id_ = -1;
  bool fuse_unknown_ = false;
  // No merge makes a token in which U+2581 ("a space") follows another character, but for
  // characters that end in one of these bytes: pieces can be merged apart from each other there.
  bool cuts_at_spaces_ = false;
  std::array<bool, 256> joins_space_{};
};

}  // namespace tutti
