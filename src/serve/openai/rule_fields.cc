#include "serve/openai/rule_fields.h"

#include <charconv>
#include <optional>

#include "base/field_error.h"
#include "serve/field_rules.h"

namespace tutti {

namespace {

/// The id that a key of logit_bias names: digits, without leading zeros, so that no two keys name
/// the same.
std::optional<int32_t> read_key(const std::string& key, int64_t vocab_size) {
  int32_t token = 0;
  const auto [end, bad] = std::from_chars(key.data(), key.data() + key.size(), token);
  const bool plain = bad == std::errc() && end == key.data() + key.size() && key[0] != '-' &&
                     (key[0] != '0' || key.size() == 1);
  return plain && token < vocab_size ? std::optional(token) : std::nullopt;
}

Status read_bias(const JsonObject& body,
                 const ModelInfo& info,
                 const RequestLimits& limits,
                 GenerationRequest& out) {
  const Json* json = any_field(body, "logit_bias");
  if (json == nullptr) {
    return ok_status();
  }
  const JsonObject& entries = json->as_object();
  if (entries.size() > static_cast<size_t>(limits.logit_bias)) {
    return field_error(
        "logit_bias", fmt::format("got {} entries, at most {}", entries.size(), limits.logit_bias));
  }
  for (const JsonMember& entry : entries) {
    const std::optional<int32_t> token = read_key(entry.key, info.vocab_size);
    if (!token.has_value()) {
      return field_error("logit_bias",
                         fmt::format("got the key \"{}\", wanted a token id, \"0\" to \"{}\"",
                                     entry.key.substr(0, 80),
                                     info.vocab_size - 1));
    }
    const double bias = entry.value.is_number() ? entry.value.as_number() : kMaxLogitBias + 1;
    if (!(bias >= -kMaxLogitBias && bias <= kMaxLogitBias)) {
      return field_error(
          "logit_bias",
          fmt::format("token {}: got {}, wanted a number from -100 to 100",
                      *token,
                      entry.value.is_number() ? to_string(entry.value) : entry.value.type_name()));
    }
    out.logit_bias.push_back({.token = *token, .bias = static_cast<float>(bias)});
  }
  return ok_status();
}

Status read_bad_words(const JsonObject& body, const RequestLimits& limits, GenerationRequest& out) {
  const Json* json = any_field(body, "bad_words");
  if (json == nullptr) {
    return ok_status();
  }
  const JsonArray& words = json->as_array();
  if (words.size() > static_cast<size_t>(limits.bad_words)) {
    return field_error("bad_words",
                       fmt::format("got {} words, at most {}", words.size(), limits.bad_words));
  }
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string path = fmt::format("bad_words[{}]", i);
    if (!words[i].is_string()) {
      return field_error(path, fmt::format("got {}, wanted a string", words[i].type_name()));
    }
    const std::string& word = words[i].as_string();
    if (word.empty() || word.size() > static_cast<size_t>(limits.bad_word_bytes)) {
      return field_error(
          path, fmt::format("got {} bytes, wanted 1 to {}", word.size(), limits.bad_word_bytes));
    }
    out.bad_words.push_back(word);
  }
  return ok_status();
}

Status read_allowed(const JsonObject& body, const ModelInfo& info, GenerationRequest& out) {
  const Json* json = any_field(body, "allowed_token_ids");
  if (json == nullptr) {
    return ok_status();
  }
  const JsonArray& items = json->as_array();
  if (items.empty() || static_cast<int64_t>(items.size()) > info.vocab_size) {
    return field_error("allowed_token_ids",
                       fmt::format("got {} ids, wanted 1 to {}", items.size(), info.vocab_size));
  }
  TUTTI_TRY(out.allowed_token_ids, read_token_ids(items, "allowed_token_ids", info.vocab_size));
  return ok_status();
}

}  // namespace

Status read_rules(const JsonObject& body,
                  const ModelInfo& info,
                  const RequestLimits& limits,
                  GenerationRequest& out) {
  TUTTI_RETURN_IF_ERROR(read_bias(body, info, limits, out));
  TUTTI_RETURN_IF_ERROR(read_bad_words(body, limits, out));
  return read_allowed(body, info, out);
}

Result<std::vector<int32_t>> read_token_ids(const JsonArray& items,
                                            const std::string& path,
                                            int64_t vocab_size) {
  std::vector<int32_t> ids;
  ids.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    const Json& item = items[i];
    if (!item.is_int() || item.as_int() < 0 || item.as_int() >= vocab_size) {
      return field_error(fmt::format("{}[{}]", path, i),
                         fmt::format("got {}, wanted a token id, an integer from 0 to {}",
                                     item.is_number() ? to_string(item) : item.type_name(),
                                     vocab_size - 1));
    }
    ids.push_back(static_cast<int32_t>(items[i].as_int()));
  }
  return ids;
}

}  // namespace tutti
