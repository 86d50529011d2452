#include "serve/generation_reply.h"

#include <algorithm>
#include <iterator>

namespace tutti {

namespace {

template <class T>
void append_all(std::vector<T>& into, std::vector<T>&& from) {
  into.insert(
      into.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

size_t size_of(const GenerationDelta& delta) {
  size_t bytes = delta.tokens.size() * sizeof(delta.tokens[0]);
  for (const OutputEvent& event : delta.events) {
    bytes += event.text.size() + event.name.size();
  }
  for (const TokenLogprobs& token : delta.logprobs) {
    bytes += sizeof(token) + token.bytes.size() + token.top.size() * sizeof(token.top[0]);
  }
  return bytes;
}

// A piece after another one of the same choice, with texts that go on joined.
void join(GenerationDelta& held, GenerationDelta&& next) {
  for (OutputEvent& event : next.events) {
    if (event.kind == OutputEvent::Kind::kText || event.kind == OutputEvent::Kind::kReasoning) {
      add_text(held.events, event.kind, event.text);
    } else {
      held.events.push_back(std::move(event));
    }
  }
  append_all(held.logprobs, std::move(next.logprobs));
  append_all(held.tokens, std::move(next.tokens));
  held.finish = next.finish;
  held.stop = std::move(next.stop);
  held.calls = next.calls;
}

class PromptSink final : public GenerationSink {
 public:
  PromptSink(std::shared_ptr<ReplyInbox> inbox,
             std::shared_ptr<GenerationWatch> watch,
             SinkChoices choices)
      : inbox_(std::move(inbox)),
        watch_(std::move(watch)),
        first_choice_(choices.first),
        unfinished_(choices.count),
        token_ids_(choices.token_ids) {}

  void on_delta(GenerationDelta delta) override {
    delta.choice += first_choice_;
    unfinished_ -= delta.finish && *delta.finish != FinishReason::kCancelled ? 1 : 0;
    watch_->on_delta(delta);
    if (!token_ids_) {
      delta.tokens = {};  // freed here, on the thread that made them
    }
    inbox_->add(std::move(delta));
  }

  // The watch first: once the inbox says that all is done, its facts are read.
  void on_done(const GenerationUsage& usage) override {
    watch_->on_done(usage);
    inbox_->done(usage);
  }

  void on_error(const Status& status) override {
    watch_->on_error(status, unfinished_);
    inbox_->fail(status);
  }

 private:
  std::shared_ptr<ReplyInbox> inbox_;
  std::shared_ptr<GenerationWatch> watch_;
  int32_t first_choice_;
  int32_t unfinished_;
  const bool token_ids_;
};

}  // namespace

std::shared_ptr<GenerationSink> make_sink(std::shared_ptr<ReplyInbox> inbox,
                                          std::shared_ptr<GenerationWatch> watch,
                                          SinkChoices choices) {
  return std::make_shared<PromptSink>(std::move(inbox), std::move(watch), choices);
}

void ReplyInbox::add(GenerationDelta delta) {
  if (delta.finish == FinishReason::kCancelled) {
    delta.finish.reset();  // not a word of the API; the error that follows says it
  }
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || batch_.ended) {
      return;
    }
    batch_.deltas.push_back(std::move(delta));
  }
  waker_->wake();
}

void ReplyInbox::done(const GenerationUsage& usage) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || batch_.ended) {
      return;
    }
    batch_.usage.prompt_tokens += usage.prompt_tokens;
    batch_.usage.cached_prompt_tokens += usage.cached_prompt_tokens;
    batch_.usage.completion_tokens += usage.completion_tokens;
    batch_.usage.reasoning_tokens += usage.reasoning_tokens;
    batch_.ended = --open_ == 0;
  }
  waker_->wake();
}

void ReplyInbox::fail(const Status& status) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || batch_.ended) {
      return;
    }
    batch_.ended = true;
    batch_.status = status;
  }
  waker_->wake();
}

void ReplyInbox::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  batch_.deltas.clear();
}

void ReplyInbox::take(Batch& batch) {
  batch.deltas.clear();
  const std::lock_guard lock(mutex_);
  batch.deltas.swap(batch_.deltas);
  batch.ended = batch_.ended;
  if (batch_.ended) {
    batch.status = batch_.status;
    batch.usage = batch_.usage;
  }
}

GenerationReply::GenerationReply(std::shared_ptr<LanguageModel> model,
                                 std::shared_ptr<ReplyInbox> inbox,
                                 std::shared_ptr<const GenerationWatch> watch,
                                 std::unique_ptr<ReplyFormat> format,
                                 Options options)
    : model_(std::move(model)),
      inbox_(std::move(inbox)),
      watch_(std::move(watch)),
      format_(std::move(format)),
      options_(options) {
  if (!options_.stream) {
    collected_.resize(static_cast<size_t>(options_.choices));
  }
}

GenerationReply::~GenerationReply() {
  cancel();
}

void GenerationReply::cancel() {
  inbox_->close();
  held_.clear();
  held_bytes_ = 0;
  // After an error the other prompts' generations still run; cancelling an ended one does nothing.
  if (!model_ended_ || !status_.ok()) {
    for (const uint64_t id : generations_) {
      model_->cancel(id);
    }
  }
  generations_.clear();
}

void GenerationReply::hold(GenerationDelta delta) {
  held_bytes_ += size_of(delta);
  for (GenerationDelta& held : held_) {
    if (held.choice == delta.choice) {
      join(held, std::move(delta));
      return;
    }
  }
  held_.push_back(std::move(delta));
}

void GenerationReply::pull(size_t unsent, std::string& out) {
  if (ended_) {
    return;
  }
  ReplyInbox::Batch& batch = batch_;
  inbox_->take(batch);
  model_ended_ = batch.ended;
  if (batch.ended) {
    status_ = batch.status;
    usage_ = batch.usage;
  }
  if (!options_.stream) {
    for (GenerationDelta& delta : batch.deltas) {
      collected_[static_cast<size_t>(delta.choice)].add(std::move(delta));
    }
    ended_ = batch.ended;
    return;
  }
  const auto room = [&] {
    return unsent + out.size() < static_cast<size_t>(options_.buffer_bytes) / 4;
  };
  if (room()) {
    for (const GenerationDelta& delta : held_) {
      format_->delta(delta, out);
    }
    held_.clear();
    held_bytes_ = 0;
  }
  for (GenerationDelta& delta : batch.deltas) {
    if (held_.empty() && room()) {
      format_->delta(delta, out);
    } else {
      hold(std::move(delta));
    }
  }
  if (batch.ended && held_.empty()) {
    finish(out);
  }
}

void GenerationReply::finish(std::string& out) {
  ended_ = true;
  if (status_.ok()) {
    format_->end(usage_, out);
  } else {
    format_->error(status_, out);
  }
}

void GenerationReply::abort(Status status, std::string& out) {
  if (ended_) {
    return;
  }
  status_ = std::move(status);
  cancel();
  if (options_.stream) {
    finish(out);
  }
  ended_ = true;
}

std::string GenerationReply::whole() {
  return format_->whole(collected_, usage_);
}

}  // namespace tutti
