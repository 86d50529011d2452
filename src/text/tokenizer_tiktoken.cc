// Kimi's tokenizer: tiktoken.model, and what its Python code adds to it.
#include <set>
#include <utility>

#include "base/json_fields.h"
#include "text/tiktoken_file.h"
#include "text/tokenizer_parts.h"
#include "text/word_patterns.h"

namespace tutti {

namespace {

constexpr const char* kKimiClass = "TikTokenTokenizer";
constexpr int64_t kReservedTokens = 256;

// The pattern is nowhere but in the code of the class.
Status check_class(const Json* config) {
  const Json* name = config != nullptr ? config->find("tokenizer_class") : nullptr;
  if (name != nullptr && name->is_string() && name->as_string() == kKimiClass) {
    return ok_status();
  }
  return error(StatusCode::kUnsupported,
               "{}: which pattern goes with it is known for tokenizer_class \"{}\" of "
               "tokenizer_config.json only, which is {}",
               kTiktokenFile,
               kKimiClass,
               name == nullptr ? "not given" : to_string(*name));
}

// Ids behind the vocabulary: named by added_tokens_decoder, or reserved.
Result<Json> special_tokens(const Json& config, int64_t first) {
  constexpr const char* kWhere = "tokenizer_config.json: added_tokens_decoder";
  FieldReader reader(config.as_object(), "tokenizer_config.json");
  const JsonObject* named = reader.optional_object("added_tokens_decoder");
  TUTTI_RETURN_IF_ERROR(reader.status());
  JsonArray tokens;
  for (int64_t id = first; id < first + kReservedTokens; ++id) {
    const Json* given = named != nullptr ? named->find(std::to_string(id)) : nullptr;
    std::string content = fmt::format("<|reserved_token_{}|>", id);
    bool special = true;
    if (given != nullptr) {
      if (!given->is_object()) {
        return error(StatusCode::kCorrupt, "{}.{}: wanted an object", kWhere, id);
      }
      FieldReader entry(given->as_object(), fmt::format("{}.{}", kWhere, id));
      content = entry.required_string("content");
      special = entry.bool_or("special", true);
      TUTTI_RETURN_IF_ERROR(entry.status());
    }
    tokens.emplace_back(Json::object(
        {{"id", id}, {"content", content}, {"special", special}, {"normalized", false}}));
  }
  return Json(std::move(tokens));
}

// The class takes no notice of other ids: a file that has some is of another kind.
Status check_named(const Json& config, int64_t first) {
  const Json* named = config.find("added_tokens_decoder");
  if (named == nullptr || !named->is_object()) {
    return ok_status();
  }
  std::set<std::string> known;
  for (int64_t id = first; id < first + kReservedTokens; ++id) {
    known.insert(std::to_string(id));
  }
  for (const JsonMember& member : named->as_object().members()) {
    if (!known.contains(member.key)) {
      return error(StatusCode::kUnsupported,
                   "tokenizer_config.json: added_tokens_decoder.{}: wanted ids from {} to {}, "
                   "behind the tokens of {}",
                   member.key,
                   first,
                   first + kReservedTokens - 1,
                   kTiktokenFile);
    }
  }
  return ok_status();
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_tiktoken(std::string_view ranks,
                                                                  const Json* tokenizer_config) {
  TUTTI_RETURN_IF_ERROR(check_class(tokenizer_config));
  TUTTI_TRY(const std::vector<TokenRank> tokens, parse_tiktoken(ranks, kTiktokenFile));
  std::unique_ptr<Tokenizer> t(new Tokenizer());
  TUTTI_TRY(t->model_, BpeModel::from_ranks(tokens, kTiktokenFile));
  TUTTI_TRY(t->pre_tokenizer_, PreTokenizer::of_matches(kKimiPattern));
  const auto first = static_cast<int64_t>(tokens.size());
  TUTTI_RETURN_IF_ERROR(check_named(*tokenizer_config, first));
  TUTTI_TRY(const Json special, special_tokens(*tokenizer_config, first));
  TUTTI_TRY(t->added_, AddedTokens::from_json(&special, t->normalizer_, kTiktokenFile));
  for (const AddedToken& token : t->added_.tokens()) {
    if (t->model_.has(token.id)) {
      return error(StatusCode::kCorrupt,
                   "{}: rank {} is beyond the number of tokens ({}), where special tokens begin",
                   kTiktokenFile,
                   token.id,
                   tokens.size());
    }
  }
  TokenizerParts::list_ids(*t);
  TUTTI_RETURN_IF_ERROR(TokenizerParts::read_config(*tokenizer_config, *t));
  return std::shared_ptr<const Tokenizer>(std::move(t));
}

}  // namespace tutti
