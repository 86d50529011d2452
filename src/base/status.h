// Errors as values. A Status says what went wrong in one line an operator can act on:
// what, where (file, tensor, field path), got, wanted, remedy. Bugs use check.h instead.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include <fmt/format.h>

namespace tutti {

/// What kind of failure; one table (status.cc) maps it to HTTP status, OpenAI error type and exit
/// code.
enum class StatusCode {
  kOk,
  kInvalidArgument,   ///< the caller sent or typed something wrong
  kContextLength,     ///< prompt (+ requested tokens) does not fit the context
  kNotFound,          ///< no such model, file or route
  kUnsupported,       ///< known, legal, but this build or model cannot do it
  kCorrupt,           ///< a file's content contradicts itself or its specification
  kUnauthenticated,   ///< missing or wrong API key
  kForbidden,         ///< authenticated but not allowed
  kOutOfMemory,       ///< does not fit device or host memory
  kOverloaded,        ///< queue full; retry later
  kDeadlineExceeded,  ///< the request's own deadline passed
  kCancelled,         ///< the client went away or asked to stop
  kUnavailable,       ///< not ready, port in use, engine restarting
  kPayloadTooLarge,   ///< body or field over a stated limit
  kDevice,            ///< a device or communication failure
  kInternal,          ///< our bug, caught at a boundary
};

class [[nodiscard]] Status {
 public:
  Status() = default;

  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }

  StatusCode code() const { return code_; }

  const std::string& message() const { return message_; }

  /// Request field the error is about ("messages[2].content"), empty if none.
  const std::string& param() const { return param_; }

  Status&& with_param(std::string param) && {
    param_ = std::move(param);
    return std::move(*this);
  }

  /// The message may hold text of the request, a prompt's too: it is for the client, not for a log.
  Status&& as_private() && {
    private_ = true;
    return std::move(*this);
  }

  bool is_private() const { return private_; }

  /// Prefixes the message with where it happened: "config.json: ...".
  Status&& with_context(const std::string& where) && {
    message_ = where + ": " + message_;
    return std::move(*this);
  }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
  std::string param_;
  bool private_ = false;
};

inline Status ok_status() {
  return {};
}

/// error(StatusCode::kNotFound, "{}: no such file", path)
template <class... Args>
Status error(StatusCode code, fmt::format_string<Args...> format, Args&&... args) {
  return {code, fmt::format(format, std::forward<Args>(args)...)};
}

template <class... Args>
Status invalid(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...)};
}

/// A value or the Status that explains why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  // Implicit by design: a function returns the value or the error as it is.
  // NOLINTNEXTLINE(google-explicit-constructor)
  Result(T value) : v_(std::move(value)) {}

  // NOLINTNEXTLINE(google-explicit-constructor)
  Result(Status status) : v_(std::move(status)) {}

  bool ok() const { return v_.index() == 0; }

  explicit operator bool() const { return ok(); }

  const Status& status() const& {
    static const Status none;
    return ok() ? none : std::get<1>(v_);
  }

  Status status() && { return ok() ? Status() : std::move(std::get<1>(v_)); }

  T& value() & { return std::get<0>(v_); }

  const T& value() const& { return std::get<0>(v_); }

  T&& value() && { return std::move(std::get<0>(v_)); }

  T& operator*() & { return value(); }

  const T& operator*() const& { return value(); }

  T&& operator*() && { return std::move(*this).value(); }

  T* operator->() { return &value(); }

  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Status> v_;
};

struct StatusMapping {
  StatusCode code;
  const char* name;         ///< "invalid_argument"
  int http_status;          ///< 400
  const char* openai_type;  ///< "invalid_request_error"
  int exit_code;            ///< process exit code of the command line
};

/// The one table: code -> HTTP status, OpenAI error type, exit code.
const StatusMapping& mapping(StatusCode code);

#define TUTTI_CONCAT_INNER(a, b) a##b
#define TUTTI_CONCAT(a, b) TUTTI_CONCAT_INNER(a, b)

/// Returns the Status of `expr` from the enclosing function if it is not ok.
#define TUTTI_RETURN_IF_ERROR(expr)         \
  do {                                      \
    ::tutti::Status tutti_status_ = (expr); \
    if (!tutti_status_.ok()) {              \
      return tutti_status_;                 \
    }                                       \
  } while (false)

/// TUTTI_TRY(auto config, parse(path)); declares `config` or returns the error.
#define TUTTI_TRY(declaration, expr) \
  TUTTI_TRY_IMPL(TUTTI_CONCAT(tutti_result_, __LINE__), declaration, expr)
// NOLINTBEGIN(bugprone-macro-parentheses): names and declarations cannot be parenthesised
#define TUTTI_TRY_IMPL(result, declaration, expr) \
  auto result = (expr);                           \
  if (!result.ok()) {                             \
    return std::move(result).status();            \
  }                                               \
  declaration = std::move(result).value()
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace tutti
