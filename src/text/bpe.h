// Byte-level byte-pair encoding (Sennrich et al., arXiv 1508.07909): the model of tokenizer.json.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace tutti {

/// Token ids must be below this: tables have one entry per id.
inline constexpr int32_t kMaxTokenIds = 1 << 24;

/// Working memory of BpeModel::encode, reused between pieces.
struct BpeScratch {
  std::vector<int32_t> ids;
  std::vector<uint32_t> next;
  std::vector<uint32_t> previous;
  std::vector<int32_t> rank;
  std::vector<int32_t> merged;
  std::vector<uint64_t> heap;
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
  /// O(n log n) in the bytes of the piece, which must be fewer than 2^31.
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

  struct Merge {
    uint64_t key = UINT64_MAX;  ///< left id << 32 | right id
    int32_t rank = 0;
    int32_t id = 0;
  };

  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
  };

  const Merge* find_merge(int32_t left, int32_t right) const;
  void add_merge(int32_t left, int32_t right, int32_t rank, int32_t id);
  void index_token(int32_t id);
  void set_pair(BpeScratch& s, uint32_t at) const;
  Status first_ids(std::string_view piece, BpeScratch& s) const;
  void merge_short(BpeScratch& s) const;
  void merge_long(BpeScratch& s) const;
  Status merge_bytes(std::string_view piece, BpeScratch& s) const;

  std::string storage_;        // token bytes, by spans_
  std::vector<Span> spans_;    // by id
  std::vector<Slot> index_;    // open addressing over token bytes
  std::vector<Merge> merges_;  // open addressing over id pairs
  std::array<int32_t, 256> byte_ids_{};
  // By id: 1 if encoding the token's own bytes gives the token, so that a piece equal to it needs
  // no merging. Always 1 with ignore_merges.
  std::vector<uint8_t> direct_;
};

}  // namespace tutti
