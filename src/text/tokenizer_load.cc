// Reads tokenizer.json and tokenizer_config.json into a Tokenizer.
#include <utility>

#include "base/file.h"
#include "base/json_fields.h"
#include "text/tokenizer.h"
#include "text/tokenizer_parts.h"

namespace tutti {

namespace {

constexpr int kMaxDepth = 16;

Result<std::string> type_of(const Json& json, const std::string& where, int depth) {
  if (!json.is_object() || depth > kMaxDepth) {
    return error(StatusCode::kCorrupt, "{}: got {}, wanted an object", where, json.type_name());
  }
  FieldReader reader(json.as_object(), where);
  std::string type = reader.required_string("type");
  TUTTI_RETURN_IF_ERROR(reader.status());
  return type;
}

// How tokens become text: the decoders of tokenizer.json that we know, put together.
struct DecoderRules {
  bool byte_level = false;
  bool byte_fallback = false;
  bool fused = false;  ///< tokens are joined: what follows sees the whole text
  std::vector<std::pair<std::string, std::string>> replacements;  ///< in each token, in this order
};

Status read_replace(const Json& json, const std::string& where, DecoderRules& rules) {
  FieldReader reader(json.as_object(), where);
  const JsonObject* pattern = reader.optional_object("pattern");
  const std::string content = reader.required_string("content");
  TUTTI_RETURN_IF_ERROR(reader.status());
  const Json* literal = pattern != nullptr ? pattern->find("String") : nullptr;
  constexpr size_t kMaxContent = 16;  // replacements of spaces; bounds the memory of hostile files
  if (literal == nullptr || !literal->is_string() || literal->as_string().empty() ||
      content.size() > kMaxContent || rules.replacements.size() >= 4) {
    return error(
        StatusCode::kUnsupported,
        "{}: wanted at most four Replace decoders, each of one String, not empty, by at most "
        "{} bytes",
        where,
        kMaxContent);
  }
  rules.replacements.emplace_back(literal->as_string(), content);
  return ok_status();
}

// ByteLevel alone, or Replace, ByteFallback and Fuse in this order. Others, and other orders, would
// change the text.
Status read_decoder(const Json* json, const std::string& where, int depth, DecoderRules& rules) {
  if (json == nullptr || json->is_null()) {
    return error(StatusCode::kUnsupported, "{}: missing, wanted ByteLevel", where);
  }
  TUTTI_TRY(const std::string type, type_of(*json, where, depth));
  const bool first = !rules.byte_level && !rules.byte_fallback && !rules.fused;
  if (type == "ByteLevel" && first && rules.replacements.empty()) {
    rules.byte_level = true;
    return ok_status();
  }
  if (type == "Replace" && first) {
    return read_replace(*json, where, rules);
  }
  if (type == "ByteFallback" && first) {
    rules.byte_fallback = true;
    return ok_status();
  }
  if (type == "Fuse" && !rules.byte_level && !rules.fused) {
    rules.fused = true;
    return ok_status();
  }
  const Json* parts = json->find("decoders");
  if (type != "Sequence" || parts == nullptr || !parts->is_array()) {
    return error(
        StatusCode::kUnsupported,
        "{}: decoder type \"{}\" is not supported here; wanted ByteLevel alone, or Replace, "
        "ByteFallback and Fuse in this order",
        where,
        type);
  }
  for (size_t i = 0; i < parts->as_array().size(); ++i) {
    TUTTI_RETURN_IF_ERROR(read_decoder(
        &parts->as_array()[i], fmt::format("{}.decoders[{}]", where, i), depth + 1, rules));
  }
  return ok_status();
}

std::string replace_all(std::string_view text, const std::string& from, const std::string& to) {
  std::string out;
  size_t done = 0;
  for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, done)) {
    out.append(text.substr(done, at - done)).append(to);
    done = at + from.size();
  }
  return out.append(text.substr(done));
}

}  // namespace

class TokenizerLoader {
 public:
  TokenizerLoader() : tokenizer_(new Tokenizer()) {}

  Result<std::shared_ptr<const Tokenizer>> run(const Json& json, const Json* config) {
    if (!json.is_object()) {
      return error(
          StatusCode::kCorrupt, "tokenizer.json: got {}, wanted an object", json.type_name());
    }
    // "truncation" and "padding" are per-call settings that the reference tools override.
    const std::string file = "tokenizer.json: ";
    Tokenizer& t = *tokenizer_;
    const Json* model = json.find("model");
    if (model == nullptr) {
      return error(StatusCode::kCorrupt, "tokenizer.json: \"model\" is missing");
    }
    TUTTI_TRY(t.normalizer_, Normalizer::from_json(json.find("normalizer"), file + "normalizer"));
    TUTTI_TRY(t.pre_tokenizer_,
              PreTokenizer::from_json(json.find("pre_tokenizer"), file + "pre_tokenizer"));
    DecoderRules rules;
    TUTTI_RETURN_IF_ERROR(read_decoder(json.find("decoder"), file + "decoder", 0, rules));
    const bool bytes = t.pre_tokenizer_.byte_level();
    if (rules.byte_level != bytes) {
      return error(StatusCode::kUnsupported,
                   "tokenizer.json: the pre_tokenizer is {}byte-level, the decoder is {}; wanted "
                   "ByteLevel in both or in neither",
                   bytes ? "" : "not ",
                   rules.byte_level ? "" : "not");
    }
    TUTTI_TRY(t.model_,
              BpeModel::from_json(
                  *model, file + "model", bytes ? BpeSymbols::kBytes : BpeSymbols::kCharacters));
    TUTTI_TRY(
        t.added_,
        AddedTokens::from_json(json.find("added_tokens"), t.normalizer_, file + "added_tokens"));
    TUTTI_RETURN_IF_ERROR(merge_tables());
    if (!rules.byte_level) {
      decode_tokens(rules);
    }
    TUTTI_RETURN_IF_ERROR(
        read_post_processor(json.find("post_processor"), file + "post_processor", 0));
    if (config != nullptr) {
      TUTTI_RETURN_IF_ERROR(TokenizerParts::read_config(*config, t));
    }
    return std::shared_ptr<const Tokenizer>(std::move(tokenizer_));
  }

 private:
  // One table of ids from the vocabulary and the added tokens, which must not contradict.
  Status merge_tables() {
    Tokenizer& t = *tokenizer_;
    for (const AddedToken& token : t.added_.tokens()) {
      const std::optional<std::string> bytes = t.model_.stored_form(token.content);
      const std::string_view in_vocab = t.model_.bytes(token.id);
      if (t.model_.has(token.id) && in_vocab != token.content && (!bytes || in_vocab != *bytes)) {
        return error(StatusCode::kCorrupt,
                     "tokenizer.json: added token \"{}\" has id {}, which the vocabulary gives to "
                     "\"{}\"",
                     token.content,
                     token.id,
                     in_vocab.substr(0, 80));
      }
      const std::optional<int32_t> other = bytes ? t.model_.find(*bytes) : std::nullopt;
      if (other && *other != token.id) {
        return error(StatusCode::kCorrupt,
                     "tokenizer.json: added token \"{}\" has id {}, but {} in the vocabulary",
                     token.content,
                     token.id,
                     *other);
      }
    }
    TokenizerParts::list_ids(t);
    return ok_status();
  }

  // What each token adds to a text, once and for all.
  void decode_tokens(const DecoderRules& rules) {
    Tokenizer& t = *tokenizer_;
    std::vector<std::string> decoded(t.kinds_.size());
    for (size_t id = 0; id < decoded.size(); ++id) {
      std::string text(t.token_bytes(static_cast<int32_t>(id)));
      for (const auto& [from, to] : rules.replacements) {
        text = replace_all(text, from, to);
      }
      const std::optional<uint8_t> byte =
          rules.byte_fallback ? byte_of_fallback_token(text) : std::nullopt;
      if (byte) {
        text.assign(1, static_cast<char>(*byte));
        t.kinds_[id] |= Tokenizer::kByte;
      }
      decoded[id] = std::move(text);
    }
    t.decoded_ = std::move(decoded);
    t.has_decoded_ = true;
  }

  Status read_post_processor(const Json* json, const std::string& where, int depth) {
    if (json == nullptr || json->is_null()) {
      return ok_status();
    }
    TUTTI_TRY(const std::string type, type_of(*json, where, depth));
    if (type == "ByteLevel") {
      return ok_status();  // adjusts character offsets only
    }
    if (type == "TemplateProcessing") {
      return read_template(json->as_object(), where);
    }
    if (type != "Sequence") {
      return error(StatusCode::kUnsupported,
                   "{}: post-processor type \"{}\" is not supported; supported: null, ByteLevel, "
                   "TemplateProcessing, Sequence",
                   where,
                   type);
    }
    FieldReader reader(json->as_object(), where);
    const JsonArray* parts = reader.optional_array("processors");
    TUTTI_RETURN_IF_ERROR(reader.status());
    for (size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
      TUTTI_RETURN_IF_ERROR(
          read_post_processor(&(*parts)[i], fmt::format("{}.processors[{}]", where, i), depth + 1));
    }
    return ok_status();
  }

  // "single": special tokens around one {"Sequence": {"id": "A"}}.
  Status read_template(const JsonObject& object, const std::string& where) {
    FieldReader reader(object, where);
    const JsonArray* single = reader.optional_array("single");
    const JsonObject* tokens = reader.optional_object("special_tokens");
    TUTTI_RETURN_IF_ERROR(reader.status());
    std::vector<int32_t> before;
    std::vector<int32_t> after;
    int sequences = 0;
    for (size_t i = 0; single != nullptr && i < single->size(); ++i) {
      const std::string place = fmt::format("{}.single[{}]", where, i);
      const Json& item = (*single)[i];
      if (item.find("Sequence") != nullptr) {
        ++sequences;
        continue;
      }
      const Json* special = item.find("SpecialToken");
      const Json* name = special != nullptr ? special->find("id") : nullptr;
      if (name == nullptr || !name->is_string()) {
        return error(StatusCode::kCorrupt, "{}: wanted a Sequence or a SpecialToken", place);
      }
      const Json* entry = tokens != nullptr ? tokens->find(name->as_string()) : nullptr;
      TUTTI_RETURN_IF_ERROR(
          append_ids(entry, sequences == 0 ? before : after, place, name->as_string()));
    }
    if (sequences != 1) {
      return error(StatusCode::kUnsupported,
                   "{}.single: names the text {} times, wanted once",
                   where,
                   sequences);
    }
    Tokenizer& t = *tokenizer_;
    t.prefix_.insert(t.prefix_.begin(), before.begin(), before.end());
    t.suffix_.insert(t.suffix_.end(), after.begin(), after.end());
    return ok_status();
  }

  Status append_ids(const Json* entry,
                    std::vector<int32_t>& out,
                    const std::string& place,
                    const std::string& name) {
    const Json* ids = entry != nullptr ? entry->find("ids") : nullptr;
    if (ids == nullptr || !ids->is_array()) {
      return error(StatusCode::kCorrupt, "{}: \"{}\" has no ids in special_tokens", place, name);
    }
    for (const Json& id : ids->as_array()) {
      if (!id.is_int() || id.as_int() < 0 || id.as_int() >= tokenizer_->vocab_size()) {
        return error(StatusCode::kCorrupt,
                     "{}: \"{}\" has an id outside the vocabulary (0 to {})",
                     place,
                     name,
                     tokenizer_->vocab_size() - 1);
      }
      out.push_back(static_cast<int32_t>(id.as_int()));
    }
    return ok_status();
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_json(const Json& tokenizer_json,
                                                              const Json* tokenizer_config) {
  return TokenizerLoader().run(tokenizer_json, tokenizer_config);
}

bool Tokenizer::is_in(const std::string& directory) {
  return file_exists(join_path(directory, "tokenizer.json")) ||
         file_exists(join_path(directory, kTiktokenFile));
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::load(const std::string& directory) {
  const std::string config_path = join_path(directory, "tokenizer_config.json");
  std::optional<Json> config;
  if (file_exists(config_path)) {
    TUTTI_TRY(config, parse_json_file(config_path));
  }
  const Json* given = config ? &*config : nullptr;
  const std::string path = join_path(directory, "tokenizer.json");
  const std::string ranks_path = join_path(directory, kTiktokenFile);
  Result<std::shared_ptr<const Tokenizer>> tokenizer = std::shared_ptr<const Tokenizer>();
  if (file_exists(path) || !file_exists(ranks_path)) {
    TUTTI_TRY(const Json json, parse_json_file(path));
    tokenizer = from_json(json, given);
  } else {
    TUTTI_TRY(const std::string ranks, read_file(ranks_path));
    tokenizer = from_tiktoken(ranks, given);
  }
  if (!tokenizer.ok()) {
    return std::move(tokenizer).status().with_context(directory);
  }
  return tokenizer;
}

}  // namespace tutti
