// Checks for our own bugs. User input must never reach one: validate it and return a Status.
// A failed check prints the operands and the scope trace ("engine step 42 / layer 7"), then aborts;
// tests install a handler that throws instead.
#pragma once
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace tutti {

using CheckHandler = void (*)(const std::string& message);

/// Replaces the abort handler and returns the old one. Tests only.
CheckHandler set_check_handler(CheckHandler handler);

/// Reports a failed check and does not return (the handler may throw).
[[noreturn]] void check_failed(const char* file, int line, const std::string& what);

/// Names what this thread is doing for as long as the object lives; shown when a check fails.
class TraceScope {
 public:
  explicit TraceScope(const char* name, long long index = -1);
  ~TraceScope();
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  friend std::string scope_trace();
  const char* name_;
  long long index_;
  TraceScope* parent_;
};

std::string scope_trace();

namespace detail {

template <class T>
std::string operand(const T& value) {
  if constexpr (fmt::is_formattable<T>::value) {
    return fmt::format("{}", value);
  } else if constexpr (std::is_enum_v<T>) {
    return fmt::format("{}", static_cast<long long>(value));
  } else {
    return "?";
  }
}

}  // namespace detail
}  // namespace tutti

#define TUTTI_CHECK(condition)                               \
  do {                                                       \
    if (!(condition)) [[unlikely]] {                         \
      ::tutti::check_failed(__FILE__, __LINE__, #condition); \
    }                                                        \
  } while (false)

#define TUTTI_CHECK_MSG(condition, ...)                                                        \
  do {                                                                                         \
    if (!(condition)) [[unlikely]] {                                                           \
      ::tutti::check_failed(__FILE__, __LINE__, #condition ": " + ::fmt::format(__VA_ARGS__)); \
    }                                                                                          \
  } while (false)

#define TUTTI_CHECK_OP(a, op, b)                                                \
  do {                                                                          \
    const auto& tutti_a_ = (a);                                                 \
    const auto& tutti_b_ = (b);                                                 \
    if (!(tutti_a_ op tutti_b_)) [[unlikely]] {                                 \
      ::tutti::check_failed(__FILE__,                                           \
                            __LINE__,                                           \
                            ::fmt::format("{} {} {} ({} vs {})",                \
                                          #a,                                   \
                                          #op,                                  \
                                          #b,                                   \
                                          ::tutti::detail::operand(tutti_a_),   \
                                          ::tutti::detail::operand(tutti_b_))); \
    }                                                                           \
  } while (false)

#define TUTTI_CHECK_EQ(a, b) TUTTI_CHECK_OP(a, ==, b)
#define TUTTI_CHECK_NE(a, b) TUTTI_CHECK_OP(a, !=, b)
#define TUTTI_CHECK_LT(a, b) TUTTI_CHECK_OP(a, <, b)
#define TUTTI_CHECK_LE(a, b) TUTTI_CHECK_OP(a, <=, b)
#define TUTTI_CHECK_GT(a, b) TUTTI_CHECK_OP(a, >, b)
#define TUTTI_CHECK_GE(a, b) TUTTI_CHECK_OP(a, >=, b)
