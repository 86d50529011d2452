// Reads the "model" object of tokenizer.json into a BpeModel.
#include <bit>
#include <utility>

#include "base/json_fields.h"
#include "text/bpe.h"
#include "text/whole_characters_finder.h"

namespace tutti {

namespace {

// Bytes that UTF-8 text can contain: all but C0, C1 and F5..FF.
bool occurs_in_utf8(int byte) {
  return byte != 0xC0 && byte != 0xC1 && byte < 0xF5;
}

// "a b" or ["a", "b"]
Result<std::pair<std::string_view, std::string_view>> parse_merge(const Json& json,
                                                                  const std::string& where) {
  if (json.is_string()) {
    const std::string_view text = json.as_string();
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      return error(StatusCode::kCorrupt,
                   "{}: got \"{}\", wanted two tokens separated by one space",
                   where,
                   text.substr(0, 80));
    }
    return std::pair(text.substr(0, space), text.substr(space + 1));
  }
  if (json.is_array() && json.as_array().size() == 2 && json.as_array()[0].is_string() &&
      json.as_array()[1].is_string()) {
    return std::pair<std::string_view, std::string_view>(json.as_array()[0].as_string(),
                                                         json.as_array()[1].as_string());
  }
  return error(StatusCode::kCorrupt,
               "{}: got {}, wanted \"left right\" or [\"left\", \"right\"]",
               where,
               json.type_name());
}

}  // namespace

class BpeLoader {
 public:
  BpeLoader(const JsonObject& object, std::string where, BpeSymbols symbols)
      : reader_(object, where), where_(std::move(where)) {
    model_.symbols_ = symbols;
  }

  Result<BpeModel> run() {
    TUTTI_RETURN_IF_ERROR(read_options());
    const JsonObject* vocab = reader_.optional_object("vocab");
    const JsonArray* merges = reader_.optional_array("merges");
    TUTTI_RETURN_IF_ERROR(reader_.status());
    if (vocab == nullptr || vocab->empty() || merges == nullptr) {
      return error(StatusCode::kCorrupt, "{}: \"vocab\" or \"merges\" is missing or empty", where_);
    }
    TUTTI_RETURN_IF_ERROR(read_vocab(*vocab));
    if (model_.symbols_ == BpeSymbols::kBytes) {
      TUTTI_RETURN_IF_ERROR(read_bytes());
    } else {
      TUTTI_RETURN_IF_ERROR(read_fallbacks());
    }
    TUTTI_RETURN_IF_ERROR(read_merges(*vocab, *merges));
    if (model_.symbols_ == BpeSymbols::kBytes) {
      model_.index_byte_pairs();
      WholeCharactersFinder(model_).run();
    } else {
      find_cuts();
    }
    mark_direct();
    return std::move(model_);
  }

 private:
  Status read_options() {
    const std::string type = reader_.required_string("type");
    TUTTI_RETURN_IF_ERROR(reader_.status());
    if (type != "BPE") {
      return error(
          StatusCode::kUnsupported, "{}.type: got \"{}\", only \"BPE\" is supported", where_, type);
    }
    ignore_merges_ = reader_.bool_or("ignore_merges", false);
    byte_fallback_ = reader_.bool_or("byte_fallback", false);
    unknown_ = reader_.optional_string("unk_token");
    model_.fuse_unknown_ = reader_.bool_or("fuse_unk", false);
    const double dropout = reader_.number_or("dropout", 0);
    const std::string prefix = reader_.string_or("continuing_subword_prefix", "");
    const std::string suffix = reader_.string_or("end_of_word_suffix", "");
    TUTTI_RETURN_IF_ERROR(reader_.status());
    if (dropout != 0) {
      return error(
          StatusCode::kUnsupported, "{}.dropout: got {}, wanted null or 0", where_, dropout);
    }
    if (!prefix.empty() || !suffix.empty()) {
      return error(StatusCode::kUnsupported,
                   "{}: continuing_subword_prefix \"{}\" and end_of_word_suffix \"{}\" must be "
                   "empty",
                   where_,
                   prefix,
                   suffix);
    }
    return ok_status();
  }

  Status read_vocab(const JsonObject& vocab) {
    int64_t max_id = -1;
    for (const JsonMember& member : vocab) {
      if (!member.value.is_int() || member.value.as_int() < 0 ||
          member.value.as_int() >= kMaxTokenIds) {
        return error(StatusCode::kCorrupt,
                     "{}.vocab[\"{}\"]: wanted a token id, an integer from 0 to {}",
                     where_,
                     member.key,
                     kMaxTokenIds - 1);
      }
      max_id = std::max(max_id, member.value.as_int());
    }
    model_.spans_.resize(static_cast<size_t>(max_id) + 1);
    model_.index_.resize(BpeModel::table_size(vocab.size()));
    for (const JsonMember& member : vocab) {
      const auto id = static_cast<int32_t>(member.value.as_int());
      if (model_.has(id)) {
        return error(
            StatusCode::kCorrupt, "{}.vocab[\"{}\"]: id {} is given twice", where_, member.key, id);
      }
      // A string with other characters cannot come out of text: a special token, kept as it is.
      const std::optional<std::string> bytes = model_.stored_form(member.key);
      const std::string& stored = bytes ? *bytes : member.key;
      if (model_.storage_.size() + stored.size() >= UINT32_MAX) {
        return error(StatusCode::kUnsupported, "{}.vocab: more than 4 GiB of tokens", where_);
      }
      model_.spans_[static_cast<size_t>(id)] = {static_cast<uint32_t>(model_.storage_.size()),
                                                static_cast<uint32_t>(stored.size())};
      model_.storage_ += stored;
      if (bytes) {
        model_.index_token(id);
      }
    }
    return ok_status();
  }

  // A character without a token would be dropped, or become unk_token, in the reference
  // implementation; here every byte must have one as soon as the file asks for such a rule, and
  // otherwise a text with such a byte is refused.
  Status read_bytes() {
    for (int byte = 0; byte < 256; ++byte) {
      const auto as_char = static_cast<char>(byte);
      const std::optional<int32_t> id = model_.find(std::string_view(&as_char, 1));
      model_.byte_ids_[static_cast<size_t>(byte)] = id.value_or(-1);
      if (!id && occurs_in_utf8(byte) && (byte_fallback_ || unknown_)) {
        return error(StatusCode::kUnsupported,
                     "{}: unk_token or byte_fallback with no token for byte 0x{:02x}; only "
                     "byte-level vocabularies with all bytes support them",
                     where_,
                     byte);
      }
    }
    return ok_status();
  }

  // Every character must have an answer: all 256 fallback bytes, or unk_token.
  Status read_fallbacks() {
    int found = 0;
    for (int byte = 0; byte < 256; ++byte) {
      const std::optional<int32_t> id = model_.find(fmt::format("<0x{:02X}>", byte));
      model_.byte_ids_[static_cast<size_t>(byte)] = byte_fallback_ ? id.value_or(-1) : -1;
      found += byte_fallback_ && id ? 1 : 0;
    }
    if (unknown_) {
      model_.unknown_id_ = model_.find(*unknown_).value_or(-1);
      if (model_.unknown_id_ < 0) {
        return error(StatusCode::kCorrupt,
                     "{}.unk_token: \"{}\" is not in the vocabulary",
                     where_,
                     *unknown_);
      }
    }
    if (found != 256 && (byte_fallback_ || !unknown_)) {
      return error(StatusCode::kUnsupported,
                   "{}: no ByteLevel pre-tokenizer, and characters outside the vocabulary have "
                   "neither all of <0x00> to <0xFF> (byte_fallback) nor unk_token without it: got "
                   "byte_fallback {}, {} byte tokens, unk_token {}",
                   where_,
                   byte_fallback_,
                   found,
                   unknown_ ? "given" : "none");
    }
    return ok_status();
  }

  // See cuts_at_spaces_.
  void find_cuts() {
    constexpr std::string_view kSpace = "\u2581";
    if (ignore_merges_ || !model_.find(kSpace)) {
      return;  // then a whole piece may be a token, or a space part of a run of unknown characters
    }
    model_.cuts_at_spaces_ = true;
    for (const BpeModel::Merge& merge : model_.merges_) {
      if (merge.rank == BpeModel::kNoRank) {
        continue;
      }
      const std::string_view made = model_.bytes(model_.made_[static_cast<size_t>(merge.rank)]);
      for (size_t at = made.find(kSpace, 1); at < made.size(); at = made.find(kSpace, at + 1)) {
        if (!made.substr(0, at).ends_with(kSpace)) {
          model_.joins_space_[static_cast<unsigned char>(made[at - 1])] = true;
        }
      }
    }
  }

  Status read_merges(const JsonObject& vocab, const JsonArray& merges) {
    model_.merges_.resize(BpeModel::table_size(merges.size()));
    model_.pair_filter_.resize(
        std::bit_ceil(merges.size() / 10 + 1));  // six bits per merge or more
    std::string joined;
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      const auto place = [&] { return fmt::format("{}.merges[{}]", where_, rank); };
      const auto parsed = parse_merge(merges[rank], where_ + ".merges");
      if (!parsed.ok() || rank >= INT32_MAX) {
        return parsed.ok() ? error(StatusCode::kUnsupported, "{}: too many merges", where_)
                           : Status(parsed.status()).with_context(fmt::format("rank {}", rank));
      }
      const auto [left, right] = *parsed;
      joined.assign(left).append(right);
      const Json* ids[3] = {vocab.find(left), vocab.find(right), vocab.find(joined)};
      for (const auto& [id, name] : {std::pair(ids[0], left),
                                     std::pair(ids[1], right),
                                     std::pair(ids[2], std::string_view(joined))}) {
        if (id == nullptr) {
          return error(StatusCode::kCorrupt,
                       "{}: \"{}\" is not in the vocabulary",
                       place(),
                       name.substr(0, 80));
        }
      }
      // A pair given twice takes its later rank, as in the reference implementation.
      model_.add_merge(static_cast<int32_t>(ids[0]->as_int()),
                       static_cast<int32_t>(ids[1]->as_int()),
                       static_cast<int32_t>(rank));
      model_.made_.push_back(static_cast<int32_t>(ids[2]->as_int()));
    }
    return ok_status();
  }

  void mark_direct() {
    BpeScratch scratch;
    for (BpeModel::Slot& slot : model_.index_) {
      if (slot.id < 0) {
        continue;
      }
      slot.direct = 1;
      if (!ignore_merges_) {
        const bool merges = model_.merge_piece(model_.bytes(slot.id), scratch).ok();
        slot.direct = merges && scratch.ids.size() == 1 && scratch.ids[0] == slot.id ? 1 : 0;
      }
    }
  }

  FieldReader reader_;
  std::string where_;
  BpeModel model_;
  bool ignore_merges_ = false;
  bool byte_fallback_ = false;
  std::optional<std::string> unknown_;
};

Result<BpeModel> BpeModel::from_json(const Json& json,
                                     const std::string& where,
                                     BpeSymbols symbols) {
  if (!json.is_object()) {
    return error(StatusCode::kCorrupt, "{}: got {}, wanted an object", where, json.type_name());
  }
  return BpeLoader(json.as_object(), where, symbols).run();
}

}  // namespace tutti
