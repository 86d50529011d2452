#include "http/fake_language_model.h"

#include <algorithm>
#include <stdexcept>

#include "grammar/grammar_compiler.h"

namespace tutti::testing {

using namespace std::chrono_literals;

const std::vector<std::string>& reply_pieces() {
  static const std::vector<std::string> kPieces{
      "Hello", ", ", "w\xC3\xB6rld", "\n\"quoted\"", " \xF0\x9F\x8E\x89", "\xE2\x80\xA8", "!"};
  return kPieces;
}

const std::vector<std::string>& reasoning_pieces() {
  static const std::vector<std::string> kPieces{"Let me", " think."};
  return kPieces;
}

AnswerReader& FakeGeneration::reader(int32_t choice) {
  return readers_.try_emplace(choice, request.form, request.whole).first->second;
}

void FakeGeneration::say(const std::string& content, int32_t choice) {
  GenerationDelta delta;
  delta.choice = choice;
  reader(choice).push(content, delta.events);
  sink->on_delta(std::move(delta));
}

void FakeGeneration::think(const std::string& reasoning, int32_t choice) const {
  GenerationDelta delta;
  delta.choice = choice;
  add_text(delta.events, OutputEvent::Kind::kReasoning, reasoning);
  sink->on_delta(std::move(delta));
}

void FakeGeneration::finish(FinishReason reason, int32_t choice) {
  GenerationDelta delta;
  delta.choice = choice;
  reader(choice).finish(delta.events);
  delta.calls = reader(choice).calls();
  delta.finish = reason;
  sink->on_delta(std::move(delta));
}

FakeLanguageModel::FakeLanguageModel(Options options) : options_(std::move(options)) {
  info_.id = options_.id;
  info_.created_unix = 1700000000;
  info_.architecture = "fake";
  info_.max_context = options_.max_context;
  info_.vocab_size = options_.vocab_size;
  delivery_ = std::thread([this] { play(); });
}

FakeLanguageModel::~FakeLanguageModel() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  delivery_.join();
}

Result<uint64_t> FakeLanguageModel::generate(GenerationRequest request,
                                             std::shared_ptr<GenerationSink> sink) {
  auto made = std::make_shared<FakeGeneration>();
  {
    const std::lock_guard lock(mutex_);
    if (!next_failure_.ok()) {
      return std::exchange(next_failure_, Status());
    }
    made->id = all_.size() + 1;
    made->request = std::move(request);
    made->sink = std::move(sink);
    all_.push_back(made);
    if (!options_.manual) {
      playing_.push_back(made);
    }
  }
  changed_.notify_all();
  return made->id;
}

void FakeLanguageModel::cancel(uint64_t generation) {
  {
    const std::lock_guard lock(mutex_);
    FakeGeneration& found = *all_.at(generation - 1);
    if (found.cancelled) {
      return;
    }
    found.cancelled = true;
    found.cancelled_at = std::chrono::steady_clock::now();
    ++cancels_;
  }
  changed_.notify_all();
}

Status FakeLanguageModel::health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

EngineStats FakeLanguageModel::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats;
  stats.requests_running = static_cast<int64_t>(playing_.size()) + (stepping_ ? 1 : 0);
  stats.kv_blocks_total = 8;
  stats.kv_blocks_used = 2;
  stats.generated_tokens = generated_tokens_;
  stats.requests_cancelled = cancels_;
  return stats;
}

std::shared_ptr<FakeGeneration> FakeLanguageModel::wait_generation(size_t index) {
  std::unique_lock lock(mutex_);
  const bool there = changed_.wait_for(lock, 5s, [&] { return all_.size() > index; });
  return there ? all_[index] : nullptr;
}

bool FakeLanguageModel::wait_cancelled(const FakeGeneration& generation) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, 5s, [&] { return generation.cancelled; });
}

size_t FakeLanguageModel::generations() const {
  const std::lock_guard lock(mutex_);
  return all_.size();
}

size_t FakeLanguageModel::cancels() const {
  const std::lock_guard lock(mutex_);
  return cancels_;
}

void FakeLanguageModel::fail_health(Status status) {
  const std::lock_guard lock(mutex_);
  health_ = std::move(status);
}

void FakeLanguageModel::fail_next(Status status) {
  const std::lock_guard lock(mutex_);
  next_failure_ = std::move(status);
}

// One piece for every choice. False when the generation has ended.
bool FakeLanguageModel::step_one(FakeGeneration& generation) {
  const GenerationRequest& request = generation.request;
  const size_t thoughts = request.form.reasoning != nullptr ? reasoning_pieces().size() : 0;
  const size_t spoken = generation.next_piece - std::min(thoughts, generation.next_piece);
  const bool thinking = generation.next_piece < thoughts;
  const std::string& piece = thinking ? reasoning_pieces()[generation.next_piece]
                                      : reply_pieces()[spoken % reply_pieces().size()];
  ++generation.next_piece;
  const auto tokens = static_cast<int64_t>(generation.next_piece);
  const bool whole = !thinking && !request.ignore_eos && spoken + 1 == reply_pieces().size();
  const bool full = tokens >= request.max_tokens.value_or(INT64_MAX);
  for (int32_t choice = 0; choice < request.n; ++choice) {
    GenerationDelta delta;
    delta.choice = choice;
    add_text(
        delta.events, thinking ? OutputEvent::Kind::kReasoning : OutputEvent::Kind::kText, piece);
    delta.tokens = {7};
    if (request.sampling.top_logprobs >= 0) {
      TokenLogprobs logprobs{.token = 7, .bytes = piece, .logprob = -0.5F, .top = {}};
      for (int32_t k = 0; k < request.sampling.top_logprobs; ++k) {
        logprobs.top.push_back({.token = k, .bytes = "t" + std::to_string(k), .logprob = -1.0F});
      }
      delta.logprobs.push_back(std::move(logprobs));
    }
    if (whole || full) {
      delta.finish = whole ? FinishReason::kStop : FinishReason::kLength;
    }
    generation.sink->on_delta(std::move(delta));
  }
  if (whole || full) {
    GenerationUsage usage;
    usage.prompt_tokens = static_cast<int64_t>(request.prompt.size());
    usage.completion_tokens = tokens * request.n;
    usage.reasoning_tokens = std::min<int64_t>(tokens, static_cast<int64_t>(thoughts)) * request.n;
    generation.sink->on_done(usage);
  }
  return !(whole || full);
}

void FakeLanguageModel::play() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (playing_.empty()) {
      changed_.wait(lock, [this] { return stopping_ || !playing_.empty(); });
      continue;
    }
    const std::shared_ptr<FakeGeneration> generation = playing_.front();
    playing_.pop_front();
    stepping_ = true;
    const bool cancelled = generation->cancelled;
    ++generated_tokens_;
    lock.unlock();
    bool more = false;
    if (cancelled) {
      generation->sink->on_error(Status(StatusCode::kCancelled, "cancelled"));
    } else {
      more = step_one(*generation);
    }
    std::this_thread::sleep_for(options_.step);
    lock.lock();
    stepping_ = false;
    if (more) {
      playing_.push_back(generation);
    }
  }
}

Result<Prompt> byte_prompt(const ChatInput& chat) {
  const Json& content = *chat.messages.as_array().back().find("content");
  const std::string last = content.is_string() ? content.as_string() : "";
  if (last == "throw") {
    throw std::runtime_error("/secret/path.cc: std::boom at 0xdeadbeef");
  }
  if (last == "unsupported") {
    return Status(StatusCode::kUnsupported, "this model has no chat template");
  }
  TUTTI_TRY(Prompt made, byte_prompt(to_string(chat.messages)));
  made.form.reasoning = last == "thinking" ? find_reasoning_markup("<think>") : nullptr;
  made.form.calls = chat.tools == nullptr ? nullptr : tool_call_markup("hermes");
  made.form.tools = chat.tools;
  made.form.one_call = chat.one_call;
  if (chat.template_kwargs.contains("unread")) {
    made.unread.emplace_back("chat_template_kwargs.unread");
  }
  return made;
}

Result<Prompt> byte_prompt(const std::string& text) {
  Prompt made;
  for (const char c : text) {
    made.tokens.push_back(static_cast<unsigned char>(c));
  }
  return made;
}

// Checked as a model of bytes would; its scripted replies do as they please.
Result<std::shared_ptr<const TokenGrammar>> FakeLanguageModel::constrain(
    const OutputWish& wish,
    const OutputForm& /*form*/,
    std::span<const int32_t> /*stop_ids*/) const {
  {
    const std::lock_guard lock(mutex_);
    wish_ = wish;
  }
  if (wish.answer.has_value()) {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) {
      texts.emplace_back(1, static_cast<char>(byte));
    }
    const auto made = grammar::GrammarCompiler(texts, {}).compile(*wish.answer, {}, {});
    if (!made.ok()) {
      return made.status();
    }
  }
  return std::shared_ptr<const TokenGrammar>();
}

OutputWish FakeLanguageModel::last_wish() const {
  const std::lock_guard lock(mutex_);
  return wish_;
}

Result<Prompt> FakeLanguageModel::prepare(const ChatInput& chat) const {
  {
    const std::lock_guard lock(mutex_);
    chat_ = chat;
  }
  return byte_prompt(chat);
}

ChatInput FakeLanguageModel::last_chat() const {
  const std::lock_guard lock(mutex_);
  return chat_;
}

}  // namespace tutti::testing
