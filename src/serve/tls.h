// TLS for a server: connections that are encrypted once they are accepted (io.h's Conn).
#pragma once
#include <memory>
#include <string>

#include "base/status.h"
#include "serve/io.h"

namespace tutti {

/// A server's certificate and key. Immutable, any thread.
class TlsContext {
 public:
  /// PEM files: the certificate with those that lead to a known one behind it, and its key. Errors
  /// name the file.
  static Result<std::shared_ptr<const TlsContext>> load(const std::string& certificate_file,
                                                        const std::string& key_file);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  /// The server's side of a connection of `thread`; the handshake is made by the first reads.
  std::unique_ptr<Conn> wrap(std::unique_ptr<Conn> conn, IoThread& thread) const;

 private:
  struct Impl;
  explicit TlsContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tutti
