#include "engine/request_parameters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/checked.h"

namespace tutti {

namespace {

using enum ParameterType;
using S = SamplingParams;
using G = GenerationRequest;

constexpr double kInt32Max = 2147483647;
constexpr double kInt64Min = -0x1p63;
constexpr double kInt64Max = 0x1p63 - 1024;  // the largest double below 2^63
constexpr double kUint64End = 0x1p64;        // itself beyond, but no double is between

constexpr auto kRows = std::to_array<RequestParameter>({
    // clang-format off
    {"max_tokens", kInteger, {0, kInt64Max}, &G::max_tokens, "until the context is full", "Most tokens of an answer"},
    {"temperature", kNumber, {0, 100}, &S::temperature, "the model's, else 1", "0 picks the most likely token each time"},
    {"top_p", kNumber, {0, 1, true}, &S::top_p, "the model's, else 1", "Keep the smallest set of tokens with this probability"},
    {"top_k", kInteger, {0, kInt32Max}, &S::top_k, "the model's, else 0 (all)", "Keep the k most likely tokens; 0 keeps all", true},
    {"min_p", kNumber, {0, 1}, &S::min_p, "the model's, else 0", "Drop tokens less likely than this share of the best"},
    {"presence_penalty", kNumber, {-2, 2}, &S::presence_penalty, "0", "Against tokens that occurred"},
    {"frequency_penalty", kNumber, {-2, 2}, &S::frequency_penalty, "0", "Against tokens by how often they occurred"},
    {"repetition_penalty", kNumber, {0, 100, true}, &S::repetition_penalty, "the model's, else 1", "Divides the scores of tokens seen; 1 is off"},
    {"seed", kInteger, {kInt64Min, kUint64End}, &S::seed, "random", "Same seed, same text"},
    {"n", kInteger, {1, 128}, &G::n, "1", "Independent answers"},
    {"stop", kSeveral, {0, kMaxStopStrings}, {}, "none", "Strings that end the answer"},
    {"stop_token_ids", kList, {0, kMaxStopTokenIds}, {}, "none", "Tokens that end the answer, besides the model's own"},
    {"priority", kInteger, {-kInt32Max, kInt32Max}, &G::priority, "0", "Smaller is served first"},
    {"cache_salt", kString, {0, kMaxSaltBytes}, &G::cache_salt, "none", "Cached prompts are shared among requests of one salt"},
    {"ignore_eos", kBool, {}, &G::ignore_eos, "false", "Go on after an end-of-sequence token"},
    {"min_tokens", kInteger, {0, kInt32Max}, &G::min_tokens, "0", "Fewest tokens of an answer"},
    {"logit_bias", kObject, {}, {}, "none", "Numbers added to the logits of tokens"},
    {"bad_words", kList, {0, kMaxBadWords}, {}, "none", "Words that are not generated"},
    {"allowed_token_ids", kList, {}, {}, "all", "The only tokens that may come"},
    {"skip_special_tokens", kBool, {}, &G::skip_special_tokens, "true", "Leave special tokens out of the text"},
    {"top_logprobs", kInteger, {0, kMaxTopLogprobs}, &S::top_logprobs, "none", "Log-probabilities of each token and of so many others"},
    {"prompt_logprobs", kInteger, {0, kMaxTopLogprobs}, &S::prompt_logprobs, "none", "The same of the prompt's tokens"},
    // clang-format on
});

Status at(const RequestParameter& parameter, const std::string& got, const std::string& wanted) {
  return invalid("{}: got {}, wanted {}", parameter.name, got, wanted).with_param(parameter.name);
}

Status out_of_range(const RequestParameter& parameter, const std::string& got) {
  const std::string words = range_words(parameter.range, parameter.type);
  return at(parameter, got, parameter.type == kString ? words + " bytes" : words);
}

double as_number(const ParameterValue& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    return static_cast<double>(*integer);
  }
  if (const auto* big = std::get_if<uint64_t>(&value)) {
    return static_cast<double>(*big);
  }
  return std::get<double>(value);
}

int64_t as_integer(const ParameterValue& value) {
  const auto* big = std::get_if<uint64_t>(&value);
  return big != nullptr ? static_cast<int64_t>(*big) : std::get<int64_t>(value);
}

std::string as_text(const ParameterValue& value) {
  return std::visit(
      [](const auto& v) {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::string>) {
          return fmt::format("{} bytes", v.size());
        } else {
          return fmt::format("{}", v);
        }
      },
      value);
}

// Calls action(field) with the place that the parameter fills; not for parameters without one.
template <class Request, class Action>
void visit_target(const RequestParameter& parameter, Request& request, const Action& action) {
  std::visit(
      [&](const auto& target) {
        using Target = std::decay_t<decltype(target)>;
        if constexpr (std::is_same_v<Target, std::monostate>) {
          return;
        } else if constexpr (std::is_invocable_v<Target, SamplingParams&>) {
          action(request.sampling.*target);
        } else {
          action(request.*target);
        }
      },
      parameter.target);
}

// A positive number below float's smallest would round to 0, which may be excluded.
float to_float(double value, ValueRange range) {
  constexpr float kTiny = 1e-30F;
  const auto rounded = static_cast<float>(value);
  return range.min_excluded ? std::max(rounded, static_cast<float>(range.min) + kTiny) : rounded;
}

Status check_one(const RequestParameter& parameter, const GenerationRequest& request) {
  static const GenerationRequest unset;
  Status status;
  visit_target(parameter, request, [&](const auto& field) {
    using Field = std::decay_t<decltype(field)>;
    const auto check = [&](double value) {
      if (!parameter.range.contains(value)) {
        status = out_of_range(parameter, fmt::format("{}", value));
      }
    };
    if constexpr (std::is_same_v<Field, std::string>) {
      if (!parameter.range.contains(static_cast<double>(field.size()))) {
        status = out_of_range(parameter, fmt::format("{} bytes", field.size()));
      }
    } else if constexpr (std::is_same_v<Field, std::optional<int64_t>>) {
      if (field.has_value() && static_cast<double>(*field) < parameter.range.min) {
        check(static_cast<double>(*field));  // a large one is lowered to what there is room for
      }
    } else if constexpr (!std::is_same_v<Field, bool>) {
      visit_target(parameter, unset, [&](const auto& fallback) {
        if constexpr (std::is_same_v<std::decay_t<decltype(fallback)>, Field>) {
          if (field != fallback) {
            check(static_cast<double>(field));
          }
        }
      });
    }
  });
  return status;
}

}  // namespace

std::string range_words(ValueRange range, ParameterType type) {
  if (range.max == kUint64End) {
    return fmt::format("{} to {}", INT64_MIN, UINT64_MAX);
  }
  if (type != kNumber) {
    return fmt::format(
        "{} to {}", static_cast<int64_t>(range.min), static_cast<int64_t>(range.max));
  }
  return fmt::format("{}{} to {}", range.min_excluded ? "more than " : "", range.min, range.max);
}

std::span<const RequestParameter> request_parameters() {
  return kRows;
}

const RequestParameter& request_parameter(std::string_view name) {
  const auto* found = std::find_if(
      kRows.begin(), kRows.end(), [&](const RequestParameter& row) { return row.name == name; });
  TUTTI_CHECK(found != kRows.end());
  return *found;
}

bool is_sampling(const RequestParameter& parameter) {
  return std::holds_alternative<float SamplingParams::*>(parameter.target) ||
         std::holds_alternative<int32_t SamplingParams::*>(parameter.target) ||
         std::holds_alternative<uint64_t SamplingParams::*>(parameter.target);
}

Status set_parameter(const RequestParameter& parameter,
                     const ParameterValue& value,
                     GenerationRequest& request) {
  Status status;
  visit_target(parameter, request, [&](auto& field) {
    using Field = std::decay_t<decltype(field)>;
    if constexpr (std::is_same_v<Field, bool>) {
      field = std::get<bool>(value);
    } else if constexpr (std::is_same_v<Field, std::string>) {
      const auto& text = std::get<std::string>(value);
      if (!parameter.range.contains(static_cast<double>(text.size()))) {
        status = out_of_range(parameter, as_text(value));
        return;
      }
      field = text;
    } else {
      const double number = as_number(value);
      const bool off = parameter.minus_one_is_off && number == -1;
      if (!off && !parameter.range.contains(number)) {
        status = out_of_range(parameter, as_text(value));
        return;
      }
      if constexpr (std::is_same_v<Field, float>) {
        field = off ? 0.0F : to_float(number, parameter.range);
      } else if constexpr (std::is_same_v<Field, int32_t>) {
        field = off ? 0 : narrow<int32_t>(as_integer(value));
      } else if constexpr (std::is_same_v<Field, uint64_t>) {
        field = static_cast<uint64_t>(as_integer(value));
      } else {
        field = as_integer(value);
      }
    }
  });
  return status;
}

Result<ParameterValue> parse_parameter(const RequestParameter& parameter, std::string_view text) {
  const char* end = text.data() + text.size();
  const auto all_of_it = [&](auto& value) {
    const auto [stop, bad] = std::from_chars(text.data(), end, value);
    return bad == std::errc() && stop == end;
  };
  const std::string typed = fmt::format("\"{}\"", text);
  std::optional<ParameterValue> value;
  if (parameter.type == kInteger) {
    int64_t integer = 0;
    uint64_t big = 0;
    if (all_of_it(integer)) {
      value = integer;
    } else if (all_of_it(big)) {
      value = big;
    } else {
      return at(parameter, typed, "an integer, " + range_words(parameter.range, parameter.type));
    }
  } else if (parameter.type == kNumber) {
    double number = 0;
    if (!all_of_it(number)) {
      return at(parameter, typed, "a number, " + range_words(parameter.range, parameter.type));
    }
    value = number;
  } else if (parameter.type == kBool) {
    if (text != "true" && text != "false") {
      return at(parameter, typed, "true or false");
    }
    value = text == "true";
  } else {
    TUTTI_CHECK(parameter.type == kString);
    value = std::string(text);
  }
  GenerationRequest trial;
  TUTTI_RETURN_IF_ERROR(set_parameter(parameter, *value, trial));
  return *std::move(value);
}

Status check_sampling(const SamplingParams& sampling) {
  GenerationRequest request;
  request.sampling = sampling;
  for (const RequestParameter& parameter : kRows) {
    if (is_sampling(parameter)) {
      TUTTI_RETURN_IF_ERROR(check_one(parameter, request));
    }
  }
  return ok_status();
}

Status check_parameters(const GenerationRequest& request) {
  for (const RequestParameter& parameter : kRows) {
    TUTTI_RETURN_IF_ERROR(check_one(parameter, request));
  }
  return ok_status();
}

}  // namespace tutti
