#include "text/tokenizer_parts.h"

#include <algorithm>

#include "base/json_fields.h"

namespace tutti {

void TokenizerParts::list_ids(Tokenizer& t) {
  int32_t size = t.model_.size();
  for (const AddedToken& token : t.added_.tokens()) {
    size = std::max(size, token.id + 1);
  }
  t.kinds_.assign(static_cast<size_t>(size), Tokenizer::kNone);
  for (int32_t id = 0; id < t.model_.size(); ++id) {
    t.kinds_[static_cast<size_t>(id)] = t.model_.has(id) ? Tokenizer::kKnown : Tokenizer::kNone;
  }
  for (const AddedToken& token : t.added_.tokens()) {
    t.kinds_[static_cast<size_t>(token.id)] = static_cast<uint8_t>(
        Tokenizer::kKnown | Tokenizer::kAdded | (token.special ? Tokenizer::kSpecial : 0));
  }
}

// bos_token: a string or {"content": ...}
Result<std::optional<int32_t>> TokenizerParts::named_token(const JsonObject& config,
                                                           std::string_view key,
                                                           const Tokenizer& tokenizer) {
  const Json* value = config.find(key);
  if (value != nullptr && value->is_object()) {
    value = value->find("content");
  }
  if (value == nullptr || value->is_null()) {
    return std::optional<int32_t>();
  }
  if (!value->is_string()) {
    return error(StatusCode::kCorrupt,
                 "tokenizer_config.json: {}: got {}, wanted a string",
                 key,
                 value->type_name());
  }
  return tokenizer.token_id(value->as_string());
}

// Hugging Face: LlamaTokenizerFast, which most checkpoints with add_bos_token name as their
// class, throws tokenizer.json's post-processor away and builds one from add_bos_token and
// add_eos_token; other classes keep the post-processor and ignore the two flags. So DeepSeek's
// BOS comes from the flag (its post-processor is a mere ByteLevel) and Llama 3's from the
// post-processor. Class names are unreliable, hence our rule: a token is added if either source
// asks for it, and once if both do.
Status TokenizerParts::read_config(const Json& json, Tokenizer& t) {
  if (!json.is_object()) {
    return error(
        StatusCode::kCorrupt, "tokenizer_config.json: got {}, wanted an object", json.type_name());
  }
  const JsonObject& config = json.as_object();
  TUTTI_TRY(t.bos_id_, named_token(config, "bos_token", t));
  TUTTI_TRY(t.eos_id_, named_token(config, "eos_token", t));
  FieldReader reader(config, "tokenizer_config.json");
  const bool add_bos = reader.bool_or("add_bos_token", false);
  const bool add_eos = reader.bool_or("add_eos_token", false);
  TUTTI_RETURN_IF_ERROR(reader.status());
  if ((add_bos && !t.bos_id_) || (add_eos && !t.eos_id_)) {
    return error(StatusCode::kCorrupt,
                 "tokenizer_config.json: add_{0}_token is true, but {0}_token names no token",
                 add_bos && !t.bos_id_ ? "bos" : "eos");
  }
  if (add_bos && (t.prefix_.empty() || t.prefix_.front() != *t.bos_id_)) {
    t.prefix_.insert(t.prefix_.begin(), *t.bos_id_);
  }
  if (add_eos && (t.suffix_.empty() || t.suffix_.back() != *t.eos_id_)) {
    t.suffix_.push_back(*t.eos_id_);
  }
  return ok_status();
}

}  // namespace tutti
