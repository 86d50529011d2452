#include "serve/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/check.h"

namespace tutti {

namespace {

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

std::string last_error() {
  char text[256] = "unknown";
  const unsigned long code = ERR_peek_last_error();  // NOLINT(google-runtime-int): OpenSSL's
  if (code != 0) {
    ERR_error_string_n(code, text, sizeof text);
  }
  ERR_clear_error();
  return text;
}

// ---- a BIO over a Conn ----

int read_conn(BIO* bio, char* into, size_t size, size_t* got) {
  BIO_clear_retry_flags(bio);
  const IoResult result = static_cast<Conn*>(BIO_get_data(bio))->try_read({into, size});
  if (result.state == IoResult::State::kAgain) {
    BIO_set_retry_read(bio);
  }
  *got = result.bytes;
  return result.state == IoResult::State::kOk && result.bytes > 0 ? 1 : 0;
}

int write_conn(BIO* bio, const char* from, size_t size, size_t* put) {
  BIO_clear_retry_flags(bio);
  const IoResult result = static_cast<Conn*>(BIO_get_data(bio))->try_write({from, size});
  if (result.state == IoResult::State::kAgain) {
    BIO_set_retry_write(bio);
  }
  *put = result.bytes;
  return result.state == IoResult::State::kOk ? 1 : 0;
}

// NOLINTNEXTLINE(google-runtime-int): OpenSSL's
long control_conn(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD* conn_method() {
  static BIO_METHOD* const kMethod = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
    TUTTI_CHECK(made != nullptr);
    BIO_meth_set_read_ex(made, &read_conn);
    BIO_meth_set_write_ex(made, &write_conn);
    BIO_meth_set_ctrl(made, &control_conn);
    return made;
  }();
  return kMethod;
}

class TlsConn final : public Conn {
 public:
  TlsConn(std::unique_ptr<Conn> conn, SSL* ssl, IoThread& thread)
      : conn_(std::move(conn)), ssl_(ssl), thread_(thread) {
    BIO* bio = BIO_new(conn_method());
    TUTTI_CHECK(bio != nullptr);
    BIO_set_data(bio, conn_.get());
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
    SSL_set_accept_state(ssl_.get());
  }

  IoResult try_read(std::span<char> into) override {
    ERR_clear_error();
    size_t got = 0;
    const int ok = SSL_read_ex(ssl_.get(), into.data(), into.size(), &got);
    return result(ok, got);
  }

  IoResult try_write(std::string_view bytes) override {
    if (bytes.empty()) {
      return {};
    }
    if (SSL_is_init_finished(ssl_.get()) == 0) {
      return {.state = IoResult::State::kClosed, .bytes = 0};  // there is nobody to tell yet
    }
    ERR_clear_error();
    size_t put = 0;
    const int ok = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &put);
    return result(ok, put);
  }

  void wait_readable(std::shared_ptr<ConnEvents> events) override {
    // What is decrypted already makes no socket readable.
    if (SSL_pending(ssl_.get()) > 0) {
      thread_.post([events = std::move(events)] { events->on_readable(); });
    } else {
      conn_->wait_readable(std::move(events));
    }
  }

  void wait_writable(std::shared_ptr<ConnEvents> events) override {
    conn_->wait_writable(std::move(events));
  }

  void shutdown_send() override {
    if (SSL_is_init_finished(ssl_.get()) != 0 && !broken_) {
      ERR_clear_error();
      SSL_shutdown(ssl_.get());  // says that this was all
    }
    conn_->shutdown_send();
  }

  void close() override { conn_->close(); }

  const std::string& peer_address() const override { return conn_->peer_address(); }

  bool peer_is_loopback() const override { return conn_->peer_is_loopback(); }

 private:
  IoResult result(int ok, size_t bytes) {
    if (ok == 1) {
      return {.state = IoResult::State::kOk, .bytes = bytes};
    }
    const int why = SSL_get_error(ssl_.get(), 0);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
      return {.state = IoResult::State::kAgain, .bytes = 0};
    }
    broken_ = why != SSL_ERROR_ZERO_RETURN;
    return {.state = IoResult::State::kClosed, .bytes = 0};
  }

  std::unique_ptr<Conn> conn_;  // before what reads from it
  std::unique_ptr<SSL, FreeSsl> ssl_;
  IoThread& thread_;
  bool broken_ = false;
};

// HTTP/1.1 is what is spoken; clients that name only others find out by themselves.
int choose_protocol(SSL*,
                    const unsigned char** chosen,
                    unsigned char* length,
                    const unsigned char* offered,
                    unsigned int size,
                    void*) {
  static constexpr unsigned char kHttp11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* out = nullptr;
  const int found = SSL_select_next_proto(&out, length, kHttp11, sizeof kHttp11, offered, size);
  *chosen = out;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

struct TlsContext::Impl {
  std::unique_ptr<SSL_CTX, FreeContext> context;
};

TlsContext::TlsContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

TlsContext::~TlsContext() = default;

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const std::string& certificate_file,
                                                           const std::string& key_file) {
  auto impl = std::make_unique<Impl>();
  impl->context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* const context = impl->context.get();
  if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
    return error(StatusCode::kUnavailable, "TLS cannot be used ({})", last_error());
  }
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Bytes that could not be sent are given again, from wherever they lie then.
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context, &choose_protocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1) {
    return error(StatusCode::kNotFound,
                 "‹tls_cert› {}: no certificate in PEM form can be read from it ({})",
                 certificate_file,
                 last_error());
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return error(
        StatusCode::kNotFound,
        "‹tls_key› {}: no key in PEM form that belongs to the certificate can be read from "
        "it ({})",
        key_file,
        last_error());
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(impl)));
}

std::unique_ptr<Conn> TlsContext::wrap(std::unique_ptr<Conn> conn, IoThread& thread) const {
  SSL* ssl = SSL_new(impl_->context.get());
  TUTTI_CHECK(ssl != nullptr);
  return std::make_unique<TlsConn>(std::move(conn), ssl, thread);
}

}  // namespace tutti
