#include "engine/request_check.h"

#include <cmath>

#include "base/checked.h"
#include "base/field_error.h"
#include "base/utf8.h"
#include "engine/request_parameters.h"

namespace tutti {
namespace {

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

// An answer as long as was asked for must fit behind the prompt.
Status check_room(const GenerationRequest& request, const GenerationLimits& limits) {
  const int64_t prompt = ssize(request.prompt.size());
  const int64_t room = limits.max_sequence_tokens - prompt;
  if (!request.max_tokens_must_fit || request.max_tokens.value_or(0) <= room) {
    return ok_status();
  }
  return error(StatusCode::kContextLength,
               "max_tokens: got {}, wanted at most {}: the prompt has {} tokens and the context is "
               "{} (prompt and answer together); ask for fewer, or name no number to use all the "
               "room",
               *request.max_tokens,
               room,
               prompt,
               limits.max_sequence_tokens)
      .with_param("max_tokens");
}

Status check_ids(const std::vector<int32_t>& ids,
                 const char* field,
                 const GenerationLimits& limits) {
  for (const int32_t token : ids) {
    if (token < 0 || token >= limits.vocab_size) {
      return field_error(
          field,
          fmt::format("got {}, wanted token ids from 0 to {}", token, limits.vocab_size - 1));
    }
  }
  return ok_status();
}

Status check_count(const char* field, size_t count, int64_t most) {
  return ssize(count) <= most
             ? ok_status()
             : field_error(field, fmt::format("got {} entries, at most {}", count, most));
}

// Of the strings of stop and bad_words.
Status check_strings(const char* field, const std::vector<std::string>& strings, int64_t bytes) {
  for (size_t i = 0; i < strings.size(); ++i) {
    const std::string path = fmt::format("{}[{}]", field, i);
    if (strings[i].empty() || ssize(strings[i].size()) > bytes) {
      return field_error(path,
                         fmt::format("got {} bytes, wanted 1 to {}", strings[i].size(), bytes));
    }
    if (!is_valid_utf8(strings[i])) {
      return field_error(path, "is not valid UTF-8");
    }
  }
  return ok_status();
}

Status needs_tokenizer(const char* field, const char* instead) {
  return error(StatusCode::kUnsupported,
               "{}: needs a tokenizer and this model was loaded without; use {}",
               field,
               instead)
      .with_param(field);
}

Status check_stops(const GenerationRequest& request, const GenerationLimits& limits) {
  TUTTI_RETURN_IF_ERROR(check_count("stop", request.stop.size(), kMaxStopStrings));
  TUTTI_RETURN_IF_ERROR(check_strings("stop", request.stop, kMaxStopStringBytes));
  if (!request.stop.empty() && !limits.has_text) {
    return needs_tokenizer("stop", "stop_token_ids");
  }
  TUTTI_RETURN_IF_ERROR(
      check_count("stop_token_ids", request.stop_token_ids.size(), kMaxStopTokenIds));
  return check_ids(request.stop_token_ids, "stop_token_ids", limits);
}

Status check_bias(const GenerationRequest& request, const GenerationLimits& limits) {
  TUTTI_RETURN_IF_ERROR(check_count("logit_bias", request.logit_bias.size(), limits.vocab_size));
  for (const LogitBias& entry : request.logit_bias) {
    TUTTI_RETURN_IF_ERROR(check_ids({entry.token}, "logit_bias", limits));
    if (!(std::abs(entry.bias) <= kMaxLogitBias)) {
      return field_error("logit_bias",
                         fmt::format("token {}: got {}, wanted -{} to {}",
                                     entry.token,
                                     entry.bias,
                                     kMaxLogitBias,
                                     kMaxLogitBias));
    }
  }
  return ok_status();
}

Status check_rules(const GenerationRequest& request, const GenerationLimits& limits) {
  TUTTI_RETURN_IF_ERROR(
      check_count("allowed_token_ids", request.allowed_token_ids.size(), limits.vocab_size));
  TUTTI_RETURN_IF_ERROR(check_ids(request.allowed_token_ids, "allowed_token_ids", limits));
  TUTTI_RETURN_IF_ERROR(check_bias(request, limits));
  TUTTI_RETURN_IF_ERROR(check_count("bad_words", request.bad_words.size(), kMaxBadWords));
  TUTTI_RETURN_IF_ERROR(check_strings("bad_words", request.bad_words, kMaxBadWordBytes));
  return request.bad_words.empty() || limits.has_text ? ok_status()
                                                      : needs_tokenizer("bad_words", "logit_bias");
}

}  // namespace

Status check_lengths(const GenerationRequest& request) {
  const int64_t least = request.echo ? 0 : 1;
  if (request.max_tokens.has_value() && *request.max_tokens < least) {
    return field_error(
        "max_tokens",
        fmt::format("got {}, wanted at least 1{}",
                    *request.max_tokens,
                    *request.max_tokens == 0 ? ", or echo: true to get the prompt alone" : ""));
  }
  if (request.max_tokens.has_value() && request.min_tokens > *request.max_tokens) {
    return field_error(
        "min_tokens",
        fmt::format(
            "got {}, wanted at most max_tokens = {}", request.min_tokens, *request.max_tokens));
  }
  return ok_status();
}

Status check_request(const GenerationRequest& request, const GenerationLimits& limits) {
  TUTTI_RETURN_IF_ERROR(check_prompt(request, limits));
  TUTTI_RETURN_IF_ERROR(check_parameters(request));
  TUTTI_RETURN_IF_ERROR(check_lengths(request));
  TUTTI_RETURN_IF_ERROR(check_room(request, limits));
  if (request.n > limits.max_choices) {
    return field_error(
        "n", fmt::format("got {}, at most {} wait at once", request.n, limits.max_choices));
  }
  TUTTI_RETURN_IF_ERROR(check_rules(request, limits));
  return check_stops(request, limits);
}

}  // namespace tutti
