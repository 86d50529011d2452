#include "engine/request_check.h"

#include <cmath>
#include <limits>

#include "base/checked.h"
#include "base/utf8.h"

namespace tutti {
namespace {

// OpenAI allows 4 strings; vLLM does not limit them. Each costs a few operations per byte of text.
constexpr size_t kMaxStopStrings = 32;
constexpr size_t kMaxStopBytes = 4096;
constexpr size_t kMaxStopIds = 1024;
constexpr size_t kMaxSaltBytes = 1024;
// Each costs a comparison per generated token.
constexpr size_t kMaxBadWords = 1024;
constexpr size_t kMaxBadWordBytes = 4096;
constexpr float kMaxBias = 100.0F;  // OpenAI's

struct Range {
  const char* field;
  float value;
  float low;
  float high;
  bool low_open = false;  // the low end itself is not allowed
};

Status check_range(const Range& r) {
  // Written so that NaN fails.
  const bool above = r.low_open ? r.value > r.low : r.value >= r.low;
  if (above && r.value <= r.high) {
    return ok_status();
  }
  const bool bounded = r.high < std::numeric_limits<float>::max();
  return invalid("{} is {}, must be {} {}{}",
                 r.field,
                 r.value,
                 r.low_open ? "more than" : "at least",
                 r.low,
                 bounded ? fmt::format(" and at most {}", r.high) : std::string())
      .with_param(r.field);
}

Status check_prompt(const GenerationRequest& request, const GenerationLimits& limits) {
  const int64_t count = ssize(request.prompt.size());
  if (count == 0) {
    return invalid("the prompt is empty, it needs at least one token").with_param("prompt");
  }
  if (count >= limits.max_context) {
    return error(StatusCode::kContextLength,
                 "prompt has {} tokens, the context is {} (prompt and answer together); shorten "
                 "the prompt",
                 count,
                 limits.max_context)
        .with_param("prompt");
  }
  if (count >= limits.max_sequence_tokens) {
    return error(StatusCode::kOutOfMemory,
                 "prompt has {} tokens, the KV memory holds {} of the context of {}; shorten the "
                 "prompt or start with more KV memory",
                 count,
                 limits.max_sequence_tokens,
                 limits.max_context)
        .with_param("prompt");
  }
  return ok_status();
}

Status check_ids(const std::vector<int32_t>& ids,
                 const char* field,
                 const GenerationLimits& limits) {
  for (const int32_t token : ids) {
    if (token < 0 || token >= limits.vocab_size) {
      return invalid("{} holds {}, the model knows 0 to {}", field, token, limits.vocab_size - 1)
          .with_param(field);
    }
  }
  return ok_status();
}

Status check_stops(const GenerationRequest& request, const GenerationLimits& limits) {
  if (request.stop.size() > kMaxStopStrings) {
    return invalid("stop holds {} strings, at most {} are allowed",
                   request.stop.size(),
                   kMaxStopStrings)
        .with_param("stop");
  }
  for (size_t i = 0; i < request.stop.size(); ++i) {
    const std::string& stop = request.stop[i];
    const std::string field = fmt::format("stop[{}]", i);
    if (stop.empty() || stop.size() > kMaxStopBytes) {
      return invalid("{} has {} bytes, must be 1 to {}", field, stop.size(), kMaxStopBytes)
          .with_param(field);
    }
    if (!is_valid_utf8(stop)) {
      return invalid("{} is not valid UTF-8", field).with_param(field);
    }
  }
  if (!request.stop.empty() && !limits.has_text) {
    return error(StatusCode::kUnsupported,
                 "stop strings need a tokenizer and this model was loaded without; use "
                 "stop_token_ids")
        .with_param("stop");
  }
  if (request.stop_token_ids.size() > kMaxStopIds) {
    return invalid("stop_token_ids holds {} ids, at most {} are allowed",
                   request.stop_token_ids.size(),
                   kMaxStopIds)
        .with_param("stop_token_ids");
  }
  return check_ids(request.stop_token_ids, "stop_token_ids", limits);
}

Status check_bias(const GenerationRequest& request, const GenerationLimits& limits) {
  if (ssize(request.logit_bias.size()) > limits.vocab_size) {
    return invalid("logit_bias has {} entries, the model knows {} tokens",
                   request.logit_bias.size(),
                   limits.vocab_size)
        .with_param("logit_bias");
  }
  for (const LogitBias& entry : request.logit_bias) {
    if (entry.token < 0 || entry.token >= limits.vocab_size) {
      return invalid("logit_bias names token {}, the model knows 0 to {}",
                     entry.token,
                     limits.vocab_size - 1)
          .with_param("logit_bias");
    }
    if (!(entry.bias >= -kMaxBias && entry.bias <= kMaxBias)) {
      return invalid("logit_bias of token {} is {}, must be -100 to 100", entry.token, entry.bias)
          .with_param("logit_bias");
    }
  }
  return ok_status();
}

Status check_bad_words(const GenerationRequest& request, const GenerationLimits& limits) {
  if (request.bad_words.size() > kMaxBadWords) {
    return invalid("bad_words holds {} words, at most {} are allowed",
                   request.bad_words.size(),
                   kMaxBadWords)
        .with_param("bad_words");
  }
  for (size_t i = 0; i < request.bad_words.size(); ++i) {
    const std::string& word = request.bad_words[i];
    const std::string field = fmt::format("bad_words[{}]", i);
    if (word.empty() || word.size() > kMaxBadWordBytes) {
      return invalid("{} has {} bytes, must be 1 to {}", field, word.size(), kMaxBadWordBytes)
          .with_param(field);
    }
    if (!is_valid_utf8(word)) {
      return invalid("{} is not valid UTF-8", field).with_param(field);
    }
  }
  if (!request.bad_words.empty() && !limits.has_text) {
    return error(StatusCode::kUnsupported,
                 "bad_words need a tokenizer and this model was loaded without; use logit_bias")
        .with_param("bad_words");
  }
  return ok_status();
}

Status check_rules(const GenerationRequest& request, const GenerationLimits& limits) {
  if (request.min_tokens < 0 ||
      request.min_tokens > request.max_tokens.value_or(request.min_tokens)) {
    return invalid("min_tokens is {}, must be at least 0 and at most max_tokens{}",
                   request.min_tokens,
                   request.max_tokens.has_value() ? fmt::format(" = {}", *request.max_tokens) : "")
        .with_param("min_tokens");
  }
  if (ssize(request.allowed_token_ids.size()) > limits.vocab_size) {
    return invalid("allowed_token_ids holds {} ids, the model knows {}",
                   request.allowed_token_ids.size(),
                   limits.vocab_size)
        .with_param("allowed_token_ids");
  }
  TUTTI_RETURN_IF_ERROR(check_ids(request.allowed_token_ids, "allowed_token_ids", limits));
  TUTTI_RETURN_IF_ERROR(check_bias(request, limits));
  return check_bad_words(request, limits);
}

}  // namespace

Status check_sampling(const SamplingParams& params) {
  constexpr float kAny = std::numeric_limits<float>::max();
  for (const Range& range : {
           Range{.field = "temperature", .value = params.temperature, .low = 0, .high = kAny},
           Range{.field = "top_p", .value = params.top_p, .low = 0, .high = 1, .low_open = true},
           Range{.field = "min_p", .value = params.min_p, .low = 0, .high = 1},
           Range{
               .field = "presence_penalty", .value = params.presence_penalty, .low = -2, .high = 2},
           Range{.field = "frequency_penalty",
           .value = params.frequency_penalty,
           .low = -2,
           .high = 2},
           Range{.field = "repetition_penalty",
           .value = params.repetition_penalty,
           .low = 0,
           .high = kAny,
           .low_open = true},
       }) {
    TUTTI_RETURN_IF_ERROR(check_range(range));
  }
  if (params.top_k < 0) {
    return invalid("top_k is {}, must be 0 (off) or more", params.top_k).with_param("top_k");
  }
  if (params.top_logprobs < -1 || params.top_logprobs > kMaxTopLogprobs) {
    return invalid("top_logprobs is {}, must be 0 to 20", params.top_logprobs)
        .with_param("top_logprobs");
  }
  if (params.prompt_logprobs < -1 || params.prompt_logprobs > kMaxTopLogprobs) {
    return invalid("prompt_logprobs is {}, must be 0 to 20", params.prompt_logprobs)
        .with_param("prompt_logprobs");
  }
  return ok_status();
}

Status check_request(const GenerationRequest& request, const GenerationLimits& limits) {
  TUTTI_RETURN_IF_ERROR(check_prompt(request, limits));
  TUTTI_RETURN_IF_ERROR(check_sampling(request.sampling));
  const int64_t least = request.echo ? 0 : 1;
  if (request.max_tokens.has_value() && *request.max_tokens < least) {
    return invalid("max_tokens is {}, must be at least {}", *request.max_tokens, least)
        .with_param("max_tokens");
  }
  if (request.n < 1 || request.n > limits.max_choices) {
    return invalid("n is {}, must be 1 to {}", request.n, limits.max_choices).with_param("n");
  }
  if (request.cache_salt.size() > kMaxSaltBytes) {
    return invalid("cache_salt has {} bytes, must be at most {}",
                   request.cache_salt.size(),
                   kMaxSaltBytes)
        .with_param("cache_salt");
  }
  TUTTI_RETURN_IF_ERROR(check_rules(request, limits));
  return check_stops(request, limits);
}

}  // namespace tutti
