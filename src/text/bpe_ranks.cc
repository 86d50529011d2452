// tiktoken's vocabularies, which have ranks and no list of merges: every split of a token into two
// tokens is a merge of the token's rank.
#include <bit>
#include <numeric>

#include "text/bpe.h"
#include "text/whole_characters_finder.h"

namespace tutti {

class RankedBpeLoader {
 public:
  RankedBpeLoader(std::span<const TokenRank> tokens, const std::string& where)
      : tokens_(tokens), where_(where) {}

  Result<BpeModel> run() {
    TUTTI_RETURN_IF_ERROR(read_tokens());
    for (size_t byte = 0; byte < 256; ++byte) {
      const auto as_char = static_cast<char>(byte);
      model_.byte_ids_[byte] = model_.find(std::string_view(&as_char, 1)).value_or(-1);
    }
    make_merges();
    model_.index_byte_pairs();
    WholeCharactersFinder(model_).run();
    for (BpeModel::Slot& slot : model_.index_) {
      slot.direct = slot.id >= 0 ? 1 : 0;
    }
    return std::move(model_);
  }

 private:
  Status read_tokens() {
    int32_t last = -1;
    for (const TokenRank& token : tokens_) {
      if (token.bytes.empty() || token.rank < 0 || token.rank >= kMaxTokenIds) {
        return error(StatusCode::kCorrupt,
                     "{}: got the rank {} for a token of {} bytes, wanted a rank from 0 to {} and "
                     "at least one byte",
                     where_,
                     token.rank,
                     token.bytes.size(),
                     kMaxTokenIds - 1);
      }
      last = std::max(last, token.rank);
    }
    model_.spans_.resize(static_cast<size_t>(last) + 1);
    model_.index_.resize(BpeModel::table_size(tokens_.size()));
    for (const TokenRank& token : tokens_) {
      if (model_.has(token.rank) || model_.find(token.bytes)) {
        return error(StatusCode::kCorrupt,
                     "{}: the rank {} or its token is given twice",
                     where_,
                     token.rank);
      }
      if (model_.storage_.size() + token.bytes.size() >= UINT32_MAX) {
        return error(StatusCode::kUnsupported, "{}: more than 4 GiB of tokens", where_);
      }
      model_.spans_[static_cast<size_t>(token.rank)] = {
          static_cast<uint32_t>(model_.storage_.size()), static_cast<uint32_t>(token.bytes.size())};
      model_.storage_ += token.bytes;
      model_.index_token(token.rank);
    }
    return ok_status();
  }

  struct Split {
    int32_t left = 0;
    int32_t right = 0;
    int32_t rank = 0;
  };

  void make_merges() {
    std::vector<Split> splits;
    for (const TokenRank& token : tokens_) {
      const std::string_view bytes = token.bytes;
      for (size_t at = 1; at < bytes.size(); ++at) {
        const std::optional<int32_t> left = model_.find(bytes.substr(0, at));
        const std::optional<int32_t> right = left ? model_.find(bytes.substr(at)) : std::nullopt;
        if (right) {
          splits.push_back({*left, *right, token.rank});
        }
      }
    }
    model_.made_.resize(model_.spans_.size());
    std::iota(model_.made_.begin(), model_.made_.end(), 0);
    model_.merges_.resize(BpeModel::table_size(splits.size()));
    model_.pair_filter_.resize(std::bit_ceil(splits.size() / 10 + 1));
    for (const Split& split : splits) {
      model_.add_merge(split.left, split.right, split.rank);
    }
  }

  std::span<const TokenRank> tokens_;
  const std::string& where_;
  BpeModel model_;
};

Result<BpeModel> BpeModel::from_ranks(std::span<const TokenRank> tokens, const std::string& where) {
  return tokens.empty() ? error(StatusCode::kCorrupt, "{}: no tokens", where)
                        : RankedBpeLoader(tokens, where).run();
}

}  // namespace tutti
