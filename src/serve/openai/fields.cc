#include "serve/openai/fields.h"

#include <optional>
#include <vector>

#include "serve/field_table.h"

namespace tutti {

namespace {

using enum FieldUse;
using enum ParameterType;
constexpr double kIntMax = 2147483647;
constexpr double kSecondsMax = 2'592'000;  // 30 days; the server's own limit is below
constexpr ValueRange kCount{0, kIntMax};

std::vector<FieldRule> used_rules() {
  const ValueRange top = request_parameter("top_logprobs").range;
  const FieldRule max_tokens = fills("max_tokens", kChatOnly, ValueRange{1, kIntMax});
  FieldRule max_tokens_or_16 = fills("max_tokens", kCompletionsOnly, kCount);
  max_tokens_or_16.fallback = "16; 0 only with echo";
  FieldRule completion_tokens = also_fills("max_completion_tokens", kBothRoutes, max_tokens);
  completion_tokens.fallback = "as max_tokens";
  return {
      // clang-format off
      used("model", kBothRoutes, kString, "the only model", "Name of the model"),
      used("messages", kChatOnly, kList, "required", "The chat so far"),
      used("tools", kChatOnly, kList, "none", "Functions that the model may call"),
      used("prompt", kCompletionsOnly, kSeveral, "required", "Text, token ids, or a list of these"),
      used("stream", kBothRoutes, kBool, "false", "Send the answer as it comes"),
      used("stream_options", kBothRoutes, kObject, "none", "include_usage: a last event with the counts of tokens"),
      max_tokens,
      max_tokens_or_16,
      completion_tokens,
      fills("temperature", kBothRoutes, ValueRange{0, 2}),
      fills("top_p", kBothRoutes),
      fills("top_k", kBothRoutes, ValueRange{-1, kIntMax}),
      fills("min_p", kBothRoutes),
      fills("presence_penalty", kBothRoutes),
      fills("frequency_penalty", kBothRoutes),
      fills("repetition_penalty", kBothRoutes, ValueRange{0, 10, true}),
      fills("seed", kBothRoutes),
      fills("n", kBothRoutes),
      fills("stop", kBothRoutes),
      fills("stop_token_ids", kBothRoutes),
      used("timeout", kBothRoutes, kNumber, "‹request_timeout›", "Seconds of the whole request", {0, kSecondsMax, true}),
      fills("priority", kBothRoutes),
      fills("cache_salt", kBothRoutes),
      fills("ignore_eos", kBothRoutes),
      fills("min_tokens", kBothRoutes),
      fills("logit_bias", kBothRoutes),
      fills("bad_words", kBothRoutes),
      fills("allowed_token_ids", kBothRoutes),
      fills("skip_special_tokens", kBothRoutes),
      used("logprobs", kChatOnly, kBool, "false", "Send the log-probability of each token"),
      used("logprobs", kCompletionsOnly, kInteger, "none", "The same, and of so many other tokens", {0, 5}),
      used("echo", kCompletionsOnly, kBool, "false", "Begin the answer with the prompt"),
      fills("prompt_logprobs", kBothRoutes),
      used("top_logprobs", kChatOnly, kInteger, "0", "Other tokens whose log-probabilities are sent", top),
      used("parallel_tool_calls", kChatOnly, kBool, "true", "false: one call a choice at most"),
      used("tool_choice", kChatOnly, kSeveral, "auto", "none, auto, required, or a function that must be called"),
      used("response_format", kBothRoutes, kObject, "text", "text, json_object, or json_schema with a schema that the answer must hold"),
      used("structured_outputs", kBothRoutes, kObject, "none", "json, regex, choice, grammar or json_object, as vLLM has it"),
      used("guided_json", kBothRoutes, kSeveral, "none", "A JSON schema that the answer must hold"),
      used("guided_regex", kBothRoutes, kString, "none", "A pattern that the whole answer must match"),
      used("guided_choice", kBothRoutes, kList, "none", "Texts of which the answer must be one"),
      used("guided_grammar", kBothRoutes, kString, "none", "A grammar in GBNF"),
      used("guided_whitespace_pattern", kBothRoutes, kString, "a space, or a line end with an indent", "What may stand between the pieces of JSON"),
      used("json_schema", kBothRoutes, kSeveral, "none", "As guided_json"),
      used("regex", kBothRoutes, kString, "none", "As guided_regex"),
      used("ebnf", kBothRoutes, kString, "none", "As guided_grammar"),
      used("grammar", kBothRoutes, kSeveral, "none", "As guided_grammar"),
      used("chat_template_kwargs", kChatOnly, kObject, "none", "More variables of the chat template"),
      used("reasoning_effort", kChatOnly, kString, "the template's", "The template's variable of that name"),
      used("enable_thinking", kChatOnly, kBool, "the template's", "Switches reasoning where the model can"),
      used("think", kChatOnly, kBool, "the template's", "The same"),
      used("thinking", kChatOnly, kSeveral, "the template's", "The same: true, false, or an object with type enabled, adaptive or disabled"),
      used("add_generation_prompt", kChatOnly, kBool, "true", "End the prompt with the opening of the model's turn"),
      used("continue_final_message", kChatOnly, kBool, "false", "Instead, go on with the last message"),
      used("truncate_prompt_tokens", kBothRoutes, kInteger, "none", "Keep so many tokens of the prompt's end; -1: as many as there is room for, 0: all", {-1, kIntMax}),
      used("return_token_ids", kBothRoutes, kBool, "false", "Send the ids of the tokens too, the prompt's and the answer's"),
      // clang-format on
  };
}

constexpr const char* kMaxTokens = "did you mean max_tokens?";
constexpr const char* kChatRoute = "that is a field of /v1/chat/completions";
constexpr const char* kTextRoute = "that is a field of /v1/completions";

// Of Ollama, llama.cpp, TGI, Anthropic, Gemini, Mistral and the APIs of transformers.
constexpr FieldAlias kAliases[] = {
    {"max_new_tokens", kMaxTokens},
    {"num_predict", kMaxTokens},
    {"n_predict", kMaxTokens},
    {"max_output_tokens", kMaxTokens},
    {"max_length", kMaxTokens},
    {"max_tokens_to_sample", kMaxTokens},
    {"min_length", "did you mean min_tokens?"},
    {"min_new_tokens", "did you mean min_tokens?"},
    {"repeat_penalty", "did you mean repetition_penalty?"},
    {"stop_sequences", "did you mean stop?"},
    {"stop_strings", "did you mean stop?"},
    {"random_seed", "did you mean seed?"},
    {"num_return_sequences", "did you mean n?"},
    {"n_probs", "send logprobs, of chats with top_logprobs"},
    {"do_sample", "send temperature 0 for the likeliest token each time"},
    {"cache_prompt", "prompts are cached anyhow"},
    {"keep_alive", "a model stays loaded while the server runs"},
    {"num_ctx", "the length of the context is chosen when the server starts"},
    {"options", "send its members as fields of the request"},
    {"sampling_params", "send its members as fields of the request"},
    {"parameters", "send its members as fields of the request"},
    {"extra_body", "send its members as fields of the request"},
    {"generation_config", "send its members as fields of the request"},
    {"generate_config", "send its members as fields of the request"},
    {"inputs", "did you mean prompt?"},
    {"messages", kChatRoute},
    {"prompt", kTextRoute},
};

constexpr const char* kSystem =
    R"(; send it as the first message: {"role": "system", "content": …})";
constexpr const char* kNoTemplate = "; a prompt has no template";
constexpr const char* kReasoningApart = "; reasoning is always sent apart, as reasoning_content";

std::vector<FieldRule> unused_rules() {
  return {
      // clang-format off
      refused("top_logprobs", kCompletionsOnly, kSeveral, "0", "; send logprobs with a number"),
      refused("chat_template_kwargs", kCompletionsOnly, kObject, "{}", kNoTemplate),
      refused("reasoning_effort", kCompletionsOnly, kString, "", kNoTemplate),
      harmless("user", kBothRoutes, kSeveral),  // a string to OpenAI; some clients send an object
      harmless("store", kBothRoutes, kBool),
      harmless("metadata", kBothRoutes, kObject),
      harmless("service_tier", kBothRoutes, kString),
      harmless("guided_decoding_backend", kBothRoutes, kString),
      harmless("parallel_tool_calls", kCompletionsOnly, kBool),
      harmless("prompt_cache_key", kBothRoutes, kString),
      harmless("prompt_cache_retention", kBothRoutes, kString),
      harmless("safety_identifier", kBothRoutes, kString),
      refused("tools", kCompletionsOnly, kList, "[]"),
      refused("tool_choice", kCompletionsOnly, kSeveral, R"("none"|"auto")"),
      refused("functions", kBothRoutes, kList, "[]"),
      refused("function_call", kBothRoutes, kSeveral, R"("none"|"auto")"),
      refused("best_of", kBothRoutes, kInteger, "1", "", {1, 128}),
      refused("echo", kChatOnly, kBool, "false"),
      refused("suffix", kBothRoutes, kString, R"("")"),
      refused("audio", kBothRoutes, kObject),
      refused("modalities", kBothRoutes, kList, R"(["text"])"),
      refused("prediction", kBothRoutes, kObject),
      refused("web_search_options", kBothRoutes, kObject),
      refused("verbosity", kBothRoutes, kString, R"("medium")"),
      refused("use_beam_search", kBothRoutes, kBool, "false"),
      refused("length_penalty", kBothRoutes, kNumber, "1|1.0", "", {-10, 10}),
      refused("typical_p", kBothRoutes, kNumber, "1|1.0", "", {0, 1}),
      refused("logits_processors", kBothRoutes, kList, "[]"),
      refused("include_stop_str_in_output", kBothRoutes, kBool, "false"),
      refused("spaces_between_special_tokens", kBothRoutes, kBool, "true"),
      refused("detokenize", kBothRoutes, kBool, "true"),
      refused("return_tokens_as_token_ids", kBothRoutes, kBool, "false"),
      refused("add_generation_prompt", kCompletionsOnly, kBool, "true", kNoTemplate),
      refused("continue_final_message", kCompletionsOnly, kBool, "false", "; a completion always goes on with its prompt"),
      refused("add_special_tokens", kBothRoutes, kBool, "true"),
      refused("include_reasoning", kBothRoutes, kBool, "true", kReasoningApart),
      refused("separate_reasoning", kBothRoutes, kBool, "true", kReasoningApart),
      refused("enable_thinking", kCompletionsOnly, kBool, "", kNoTemplate),
      refused("thinking_budget", kChatOnly, kSeveral, "-1", "; max_tokens bounds the answer, reasoning included"),
      refused("system", kChatOnly, kSeveral, R"("")", kSystem),
      refused("format", kBothRoutes, kSeveral, R"(""|"text")"),
      refused("chat_template", kBothRoutes, kString, "", "; the model's own template is used"),
      refused("documents", kBothRoutes, kList, "[]"),
      refused("mm_processor_kwargs", kBothRoutes, kObject, "{}"),
      // clang-format on
  };
}

}  // namespace

std::span<const FieldRule> openai_fields() {
  static const std::vector<FieldRule> kAll = [] {
    std::vector<FieldRule> all = used_rules();
    const std::vector<FieldRule> unused = unused_rules();
    all.insert(all.end(), unused.begin(), unused.end());
    return all;
  }();
  return kAll;
}

std::span<const FieldAlias> openai_aliases() {
  return kAliases;
}

}  // namespace tutti
