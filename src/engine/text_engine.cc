#include "engine/text_engine.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "engine/request_rules.h"
#include "engine/tokenizer_text.h"
#include "text/chat_template.h"

namespace tutti {
namespace {

int64_t to_us(const std::optional<std::chrono::steady_clock::time_point>& time) {
  return time.has_value()
             ? std::chrono::duration_cast<std::chrono::microseconds>(time->time_since_epoch())
                   .count()
             : kNoDeadline;
}

}  // namespace

TextEngine::TextEngine(TextEngineParts parts)
    : info_(std::move(parts.info)),
      defaults_(std::move(parts.defaults)),
      tokenizer_(std::move(parts.tokenizer)),
      chat_template_(std::move(parts.chat_template)),
      text_(parts.text != nullptr ? std::move(parts.text) : make_token_text(tokenizer_)),
      engine_(parts.engine, std::move(parts.runner)) {
  info_.max_context = engine_.max_sequence_tokens();
  info_.vocab_size = engine_.limits().vocab_size;
  limits_ = {.vocab_size = info_.vocab_size,
             .max_context = engine_.limits().max_context,
             .max_sequence_tokens = info_.max_context,
             .max_choices = narrow<int32_t>(std::min<int64_t>(INT32_MAX, parts.engine.max_waiting)),
             .has_text = text_ != nullptr};
  if (text_ != nullptr) {
    constrainer_ = std::make_unique<Constrainer>(text_, info_.vocab_size, defaults_.eos_token_ids);
  }
}

TextEngine::~TextEngine() {
  engine_.shutdown();
}

Result<Prompt> TextEngine::prepare(const ChatInput& chat) const {
  if (tokenizer_ == nullptr) {
    return error(
        StatusCode::kUnsupported,
        "model \"{}\" has no tokenizer (tokenizer.json is not among its files), so it knows "
        "no text: send token ids to /v1/completions",
        info_.id);
  }
  if (chat_template_ == nullptr) {
    return error(StatusCode::kUnsupported,
                 "model \"{}\" has no chat template (neither chat_template.jinja nor chat_template "
                 "in tokenizer_config.json), as base models have none: use /v1/completions",
                 info_.id);
  }
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return make_chat_prompt(*chat_template_,
                          *tokenizer_,
                          chat,
                          std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

Result<Prompt> TextEngine::prepare(const std::string& text) const {
  if (tokenizer_ == nullptr) {
    return error(StatusCode::kUnsupported,
                 "model \"{}\" has no tokenizer (tokenizer.json is not among its files); send the "
                 "prompt as token ids",
                 info_.id)
        .with_param("prompt");
  }
  return make_completion_prompt(*tokenizer_, text);
}

Result<std::shared_ptr<const TokenGrammar>> TextEngine::constrain(
    const OutputWish& wish, const OutputForm& form, std::span<const int32_t> stop_ids) const {
  if (!wish.binds()) {
    return std::shared_ptr<const TokenGrammar>();
  }
  if (constrainer_ == nullptr) {
    return error(StatusCode::kUnsupported,
                 "model \"{}\" has no tokenizer (tokenizer.json is not among its files), so its "
                 "output cannot be bound to a grammar",
                 info_.id);
  }
  return constrainer_->grammar_of(wish, form, stop_ids);
}

Result<uint64_t> TextEngine::generate(GenerationRequest request,
                                      std::shared_ptr<GenerationSink> sink) {
  TUTTI_RETURN_IF_ERROR(check_request(request, limits_));
  TUTTI_TRY(LogitRulesPtr rules, make_rules(request, defaults_.eos_token_ids, text_.get()));
  const uint64_t id = next_id_.fetch_add(static_cast<uint64_t>(request.n));
  const int64_t prompt_tokens = ssize(request.prompt.size());
  const Generation::Parts parts{.engine = &engine_, .table = &table_, .text = text_.get()};
  auto generation = std::make_shared<Generation>(parts, request, id, std::move(sink));
  // In the table first: it may end before submit returns.
  table_.add(id, generation, prompt_tokens);
  Status queued =
      engine_.submit(make_sequences(std::move(request), std::move(rules), id), generation);
  if (!queued.ok()) {
    table_.withdraw(id, prompt_tokens);
    return queued;
  }
  return id;
}

std::vector<SequenceRequest> TextEngine::make_sequences(GenerationRequest request,
                                                        LogitRulesPtr rules,
                                                        uint64_t first_id) const {
  SequenceRequest one;
  one.rules = std::move(rules);
  const int64_t room = limits_.max_sequence_tokens - ssize(request.prompt.size());
  // One that only wants its prompt back is over with the token its prompt yields anyway.
  one.max_tokens = std::clamp<int64_t>(request.max_tokens.value_or(room), 1, room);
  one.stop_ids = std::move(request.stop_token_ids);
  if (!request.ignore_eos) {
    one.stop_ids.insert(
        one.stop_ids.end(), defaults_.eos_token_ids.begin(), defaults_.eos_token_ids.end());
  }
  one.sampling = request.sampling;
  one.grammar = std::move(request.grammar);
  one.priority = request.priority;
  one.deadline_us = to_us(request.deadline);
  one.cache_salt = std::move(request.cache_salt);
  one.prompt = std::move(request.prompt);
  std::vector<SequenceRequest> out;
  for (int32_t i = 0; i < request.n; ++i) {
    one.id = first_id + static_cast<uint64_t>(i);
    one.choice = i;
    // The prompt is scored once for all.
    one.sampling.prompt_logprobs = i == 0 ? prompt_logprobs_wanted(request) : -1;
    one.fork_of = i == 0 ? 0 : first_id;
    // The choices are admitted in their order: once the first is, the request has begun.
    one.queue_deadline_us = i == 0 ? to_us(request.queue_deadline) : kNoDeadline;
    out.push_back(i + 1 < request.n ? one : std::move(one));
  }
  return out;
}

void TextEngine::cancel(uint64_t generation) {
  if (const auto found = table_.find(generation)) {
    found->request_cancel();
  }
}

Status TextEngine::health() const {
  return engine_.health();
}

EngineStats TextEngine::stats() const {
  EngineStats stats = engine_.stats();
  table_.fill(stats);
  return stats;
}

}  // namespace tutti
