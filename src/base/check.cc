#include "base/check.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace tutti {

namespace {

void abort_handler(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::abort();
}

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): process-wide by nature
std::atomic<CheckHandler> check_handler{&abort_handler};
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): one trace per thread
thread_local TraceScope* current_scope = nullptr;

}  // namespace

CheckHandler set_check_handler(CheckHandler handler) {
  return check_handler.exchange(handler);
}

TraceScope::TraceScope(const char* name, long long index)
    : name_(name), index_(index), parent_(current_scope) {
  current_scope = this;
}

TraceScope::~TraceScope() {
  current_scope = parent_;
}

std::string scope_trace() {
  std::string trace;
  for (const TraceScope* s = current_scope; s != nullptr; s = s->parent_) {
    std::string part = s->index_ < 0 ? s->name_ : fmt::format("{} {}", s->name_, s->index_);
    trace = trace.empty() ? part : part + " / " + trace;
  }
  return trace;
}

void check_failed(const char* file, int line, const std::string& what) {
  const std::string trace = scope_trace();
  check_handler.load()(fmt::format("tutti bug: check failed at {}:{}: {}{}{}",
                                   file,
                                   line,
                                   what,
                                   trace.empty() ? "" : " in ",
                                   trace));
  std::abort();
}

}  // namespace tutti
