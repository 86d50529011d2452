// Text to token ids and back, for Hugging Face tokenizer.json files with byte-level BPE (DeepSeek,
// Qwen, Llama 3, GPT-2 and their relatives) or BPE with byte fallback (Gemma 3), and for Kimi's
// tiktoken.model. Behaviour follows
// the `tokenizers` library: added tokens, normalizer, pre_tokenizer, model, post_processor,
// decoder.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_added.h"

namespace tutti {

struct EncodeOptions {
  /// Adds what prefix_ids() and suffix_ids() list, also to a text that already begins with the BOS
  /// token's text (as Hugging Face does). A rendered chat template brings its own: pass false.
  bool add_special_tokens = true;
  /// Text of added tokens in the input becomes their ids. False: it is ordinary text.
  bool parse_special = true;
  /// Threads that work on a long text (from some 256 KiB on); 0: as many as the machine has, at
  /// most eight. The ids do not depend on it.
  int threads = 1;
};

inline constexpr const char* kTiktokenFile = "tiktoken.model";

/// Immutable; shared by threads.
class Tokenizer {
 public:
  /// Whether a checkpoint directory has a file that load() reads.
  static bool is_in(const std::string& directory);

  /// Reads tokenizer.json, or else tiktoken.model, and, if there, tokenizer_config.json of a
  /// checkpoint directory.
  /// kNotFound, kCorrupt or kUnsupported with file and field path. What the library does not
  /// implement is refused by name: nothing is tokenized approximately.
  static Result<std::shared_ptr<const Tokenizer>> load(const std::string& directory);

  /// A vocabulary of tiktoken. What surrounds it, the pattern above all, is in Python code beside
  /// it: the class that tokenizer_config.json names must be one that is known, which is Kimi's.
  static Result<std::shared_ptr<const Tokenizer>> from_tiktoken(std::string_view ranks,
                                                                const Json* tokenizer_config);

  /// `tokenizer_config` may be null; of it bos_token, eos_token, add_bos_token and add_eos_token
  /// are read.
  static Result<std::shared_ptr<const Tokenizer>> from_json(const Json& tokenizer_json,
                                                            const Json* tokenizer_config);

  /// kInvalidArgument with the byte offset if `utf8` is not valid UTF-8; kPayloadTooLarge from
  /// 2^31 bytes; kUnsupported if the file's patterns backtrack without bound on this text.
  Result<std::vector<int32_t>> encode(std::string_view utf8, EncodeOptions options = {}) const;

  /// Part of a text with its own rule: template text parses added tokens, message content does not.
  struct Span {
    std::string_view text;
    bool parse_special = true;
  };

  /// Encodes the concatenation of `spans`. An added token is found only where it lies wholly inside
  /// neighbouring spans with parse_special (tokens of white space alone: anywhere); otherwise the
  /// spans' borders leave no trace. With a normalizer, text is normalised up to each border between
  /// spans of different rule, so that content cannot alter the template's tokens.
  /// `threads` as in EncodeOptions.
  Result<std::vector<int32_t>> encode_spans(std::span<const Span> spans,
                                            bool add_special_tokens,
                                            int threads = 1) const;

  /// Text of `ids`; bytes that are no valid UTF-8 become U+FFFD, one for each maximal invalid
  /// sequence. Of a run of fallback bytes ("<0xE4>") that is no valid UTF-8 each becomes U+FFFD.
  /// Ids without a token (padding rows of the embedding) give nothing. White space is kept as it is
  /// (clean_up_tokenization_spaces is not applied).
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  /// Like decode; kInvalidArgument naming position and value if an id has no token.
  Result<std::string> decode_checked(std::span<const int32_t> ids, bool skip_special = false) const;

  /// Raw bytes of a token as decoding joins them, possibly part of a character; empty for an id
  /// without token.
  /// Lives as long as the tokenizer.
  std::string_view token_bytes(int32_t id) const;

  /// Largest id + 1. The model may have more rows than this.
  int32_t vocab_size() const { return static_cast<int32_t>(kinds_.size()); }

  bool has_token(int32_t id) const { return kind(id) != kNone; }

  /// Fallback bytes are decoded in runs, see decode().
  bool is_fallback_byte(int32_t id) const { return (kind(id) & kByte) != 0; }

  /// Special tokens are those decode drops with skip_special.
  bool is_special(int32_t id) const { return (kind(id) & kSpecial) != 0; }

  /// The added token with this text, else the vocabulary entry with these bytes.
  std::optional<int32_t> token_id(std::string_view content) const;

  /// bos_token and eos_token of tokenizer_config.json.
  std::optional<int32_t> bos_id() const { return bos_id_; }

  std::optional<int32_t> eos_id() const { return eos_id_; }

  /// Ids that add_special_tokens puts before and after the text.
  std::span<const int32_t> prefix_ids() const { return prefix_; }

  std::span<const int32_t> suffix_ids() const { return suffix_; }

  std::span<const AddedToken> added_tokens() const { return added_.tokens(); }

 private:
  friend class TokenizerLoader;
  friend class TokenizerParts;
  struct Work;

  static constexpr uint8_t kNone = 0;
  static constexpr uint8_t kKnown = 1;
  static constexpr uint8_t kAdded = 2;
  static constexpr uint8_t kSpecial = 4;
  static constexpr uint8_t kByte = 8;

  Tokenizer() = default;

  uint8_t kind(int32_t id) const {
    return id >= 0 && id < vocab_size() ? kinds_[static_cast<size_t>(id)] : kNone;
  }

  Result<std::vector<int32_t>> encode_regions(std::string_view text,
                                              std::span<const TextRegion> regions,
                                              bool add_special_tokens,
                                              int threads) const;
  Status encode_gap(TextRange gap, Work& work) const;
  Status encode_plain(std::string_view text, Work& work) const;
  Status encode_known(std::string_view text, std::vector<int32_t>& ids, BpeScratch& scratch) const;
  Status encode_parallel(std::string_view text, size_t parts, std::vector<int32_t>& ids) const;

  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  BpeModel model_;
  AddedTokens added_;
  std::vector<uint8_t> kinds_;  // by id
  // Decoded text of all tokens where it is not the vocabulary's bytes (no ByteLevel decoder).
  bool has_decoded_ = false;
  std::vector<std::string> decoded_;  // by id
  std::vector<int32_t> prefix_;
  std::vector<int32_t> suffix_;
  std::optional<int32_t> bos_id_;
  std::optional<int32_t> eos_id_;
};

/// Moves a run of fallback bytes to `out`: as it is, or U+FFFD for each byte if it is no valid
/// UTF-8.
void append_fallback_bytes(std::string& run, std::string& out);

}  // namespace tutti
