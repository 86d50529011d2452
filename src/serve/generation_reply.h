// One accepted generation request on its way back to its client. The model's delivery thread puts
// pieces into the inbox; the connection's thread takes them out, formats them and owns everything
// else. Dropping the reply cancels what still runs, so no path can leak a generation.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/language_model.h"
#include "serve/generation_watch.h"
#include "serve/reply_format.h"
#include "serve/reply_stream.h"
#include "serve/waker.h"

namespace tutti {

/// Where the generations of one request (one per prompt) meet. Thread-safe.
class ReplyInbox {
 public:
  ReplyInbox(int generations, std::shared_ptr<Waker> waker)
      : waker_(std::move(waker)), open_(generations) {}

  void add(GenerationDelta delta);
  void done(const GenerationUsage& usage);
  void fail(const Status& status);
  /// Nobody listens any more: drops what there is and what comes.
  void close();

  struct Batch {
    std::vector<GenerationDelta> deltas;
    bool ended = false;  ///< all generations are done, or one failed
    Status status;       ///< of the first that failed
    GenerationUsage usage;
  };

  /// Replaces `batch` by what came since the last call; its memory is used again.
  void take(Batch& batch);

 private:
  std::mutex mutex_;
  std::shared_ptr<Waker> waker_;
  int open_;
  bool closed_ = false;
  Batch batch_;
};

struct SinkChoices {
  int32_t first = 0;  ///< added to the choice numbers
  int32_t count = 1;
  bool token_ids = false;  ///< they are sent
};

/// Makes the sink of one generation.
std::shared_ptr<GenerationSink> make_sink(std::shared_ptr<ReplyInbox> inbox,
                                          std::shared_ptr<GenerationWatch> watch,
                                          SinkChoices choices);

class GenerationReply final : public ReplyStream {
 public:
  struct Options {
    bool stream = false;
    int32_t choices = 1;
    int64_t buffer_bytes = 256 << 10;  ///< bound of unsent text
    std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  };

  GenerationReply(std::shared_ptr<LanguageModel> model,
                  std::shared_ptr<ReplyInbox> inbox,
                  std::shared_ptr<const GenerationWatch> watch,
                  std::unique_ptr<ReplyFormat> format,
                  Options options);
  ~GenerationReply() override;
  GenerationReply(const GenerationReply&) = delete;
  GenerationReply& operator=(const GenerationReply&) = delete;

  /// A generation that cancel() has to stop.
  void add_generation(uint64_t id) { generations_.push_back(id); }

  std::chrono::steady_clock::time_point deadline() const { return options_.deadline; }

  bool stream() const { return options_.stream; }

  /// Of a stream.
  const char* content_type() const override { return format_->content_type(); }

  std::string_view keep_alive() const override { return format_->keep_alive(); }

  void begin(std::string& out) override { format_->begin(out); }

  /// Takes what arrived. What a slow client has not taken is merged. Not of a stream: `out` stays
  /// as it is.
  void pull(size_t unsent, std::string& out) override;

  bool ended() const override { return ended_; }

  bool holding() const override { return !held_.empty(); }

  bool overflowed(size_t unsent) const override {
    return held_bytes_ + unsent > static_cast<size_t>(options_.buffer_bytes);
  }

  /// Why it ended early; ok otherwise.
  const Status& status() const { return status_; }

  /// Body of a reply that is not streamed, once ended() with an ok status().
  std::string whole();

  /// Of a reply that is not streamed, the same.
  const GenerationUsage& usage() const { return usage_; }

  /// What became of it so far, for the log.
  const std::shared_ptr<const GenerationWatch>& watch() const { return watch_; }

  void abort(Status status, std::string& out) override;
  void cancel() override;

 private:
  void hold(GenerationDelta delta);
  void finish(std::string& out);

  std::shared_ptr<LanguageModel> model_;
  std::shared_ptr<ReplyInbox> inbox_;
  std::shared_ptr<const GenerationWatch> watch_;
  std::unique_ptr<ReplyFormat> format_;
  Options options_;
  std::vector<uint64_t> generations_;
  ReplyInbox::Batch batch_;            // of the pull under way; kept for its memory
  std::vector<GenerationDelta> held_;  // streams: at most one per choice, merged
  size_t held_bytes_ = 0;
  std::vector<CollectedChoice> collected_;
  GenerationUsage usage_;
  Status status_;
  bool model_ended_ = false;
  bool ended_ = false;
};

}  // namespace tutti
