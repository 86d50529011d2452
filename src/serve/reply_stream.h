// A reply that reaches its client in pieces, wherever they come from: a model of this process
// (generation_reply.h), or an engine behind a gateway (relayed_reply.h).
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tutti {

/// All on the connection's thread.
class ReplyStream {
 public:
  virtual ~ReplyStream() = default;

  virtual const char* content_type() const = 0;

  /// Sent in silence, so that nobody on the way takes the stream for dead; "": nothing.
  virtual std::string_view keep_alive() const = 0;

  /// Appends what comes before any piece.
  virtual void begin(std::string& out) = 0;

  /// Appends what arrived, as whole events, while `unsent` bytes of earlier ones are few;
  /// otherwise it is kept until the client has caught up.
  virtual void pull(size_t unsent, std::string& out) = 0;

  /// Nothing more will come out of pull().
  virtual bool ended() const = 0;

  /// Pieces wait for the client to take earlier ones.
  virtual bool holding() const = 0;

  /// The client is so slow that the bound of unsent text is reached.
  virtual bool overflowed(size_t unsent) const = 0;

  /// Ends it with this error, as if the model had sent it.
  virtual void abort(Status status, std::string& out) = 0;

  virtual void cancel() = 0;
};

}  // namespace tutti
