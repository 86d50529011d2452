#include "engine/request_rules.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace tutti {
namespace {

/// Whether banning `word` already bans everything that ends with these ids.
bool covers(const std::vector<int32_t>& word, const std::vector<int32_t>& ids) {
  return word.size() <= ids.size() && std::equal(word.rbegin(), word.rend(), ids.rbegin());
}

Status add_bad_word(std::string_view word,
                    const TokenText& text,
                    std::vector<std::vector<int32_t>>& out) {
  const std::string bare(word.substr(std::min(word.find_first_not_of(' '), word.size())));
  for (const std::string& form : {bare, " " + bare}) {
    TUTTI_TRY(std::vector<int32_t> ids, text.encode(form));
    const bool covered = std::any_of(
        out.begin(), out.end(), [&](const std::vector<int32_t>& w) { return covers(w, ids); });
    if (!ids.empty() && !covered) {
      out.push_back(std::move(ids));
    }
  }
  return ok_status();
}

}  // namespace

Result<LogitRulesPtr> make_rules(const GenerationRequest& request,
                                 std::span<const int32_t> eos_ids,
                                 const TokenText* text) {
  if (request.logit_bias.empty() && request.min_tokens == 0 && request.bad_words.empty() &&
      request.allowed_token_ids.empty()) {
    return LogitRulesPtr();
  }
  LogitRules rules;
  rules.allowed = request.allowed_token_ids;
  rules.bias = request.logit_bias;
  rules.min_tokens = request.min_tokens;
  if (request.min_tokens > 0) {
    rules.end_ids = request.stop_token_ids;
    rules.end_ids.insert(rules.end_ids.end(), eos_ids.begin(), eos_ids.end());
  }
  for (size_t i = 0; i < request.bad_words.size(); ++i) {
    const std::string field = fmt::format("bad_words[{}]", i);
    Status added = add_bad_word(request.bad_words[i], *text, rules.bad_words);
    if (!added.ok()) {
      return std::move(added).with_context(field).with_param(field);
    }
  }
  return rules.empty() ? LogitRulesPtr() : std::make_shared<const LogitRules>(std::move(rules));
}

}  // namespace tutti
