// Routes that manage a server's models, whatever API they belong to. Thread-safe.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "serve/http_message.h"
#include "serve/waker.h"

namespace tutti {

struct ManagementCall {
  std::string method;  ///< of a HEAD: GET
  std::string path;    ///< as sent, without the query
  std::string query;   ///< as sent, without "?"
  std::string body;
  std::shared_ptr<Waker> waker;  ///< told when it is worth asking the answer again
};

/// An answer on its way, which may take as long as a model loads. Dropped if the client leaves.
class PendingAnswer {
 public:
  virtual ~PendingAnswer() = default;
  /// nullopt: not yet.
  virtual std::optional<HttpResponse> poll() = 0;
};

class Management {
 public:
  virtual ~Management() = default;

  struct Match {
    bool path = false;    ///< it is one of these routes, for some method
    bool method = false;  ///< and for this one
    bool open = false;    ///< needs no key
    std::string allowed;  ///< methods, separated by commas
  };

  virtual Match match(std::string_view method, std::string_view path) const = 0;

  /// `call` has a match. Quick; what takes long is left to the answer.
  virtual std::unique_ptr<PendingAnswer> call(const ManagementCall& call) = 0;

  /// In the shape of these routes.
  virtual HttpResponse error(const ApiError& error) const = 0;
};

}  // namespace tutti
