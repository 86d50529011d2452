// How a generation looks to the client of one API: whole, or as the events of a stream.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/output.h"

namespace tutti {

/// One per reply; keeps what must be known across its pieces. Not thread-safe.
class ReplyFormat {
 public:
  virtual ~ReplyFormat() = default;

  /// The body of a reply that is not streamed.
  virtual std::string whole(const std::vector<CollectedChoice>& choices,
                            const GenerationUsage& usage) = 0;

  // Of a stream. Each appends its events with their framing: "data: {…}\n\n" and the like.

  /// What comes first.
  virtual void begin(std::string& out) = 0;
  virtual void delta(const GenerationDelta& delta, std::string& out) = 0;
  /// What comes last.
  virtual void end(const GenerationUsage& usage, std::string& out) = 0;
  /// The same if it ends early. Nothing follows.
  virtual void error(const Status& status, std::string& out) = 0;

  virtual const char* content_type() const { return "text/event-stream"; }

  /// What every event of a stream ends with, and has nowhere else.
  virtual std::string_view event_end() const { return "\n\n"; }

  /// Sent in silence, so that nobody on the way takes the stream for dead. Clients drop it.
  virtual std::string_view keep_alive() const { return ": keep-alive\n\n"; }
};

}  // namespace tutti
