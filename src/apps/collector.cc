#include "apps/collector.h"

#include <cstdlib>
#include <utility>

#include "apps/common.h"

namespace tutti {

namespace {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): a signal handler can reach
// nothing else
volatile std::sig_atomic_t interrupts = 0;

void count_interrupt(int) {
  interrupts = interrupts + 1;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  interrupts = 0;

  struct sigaction action {};

  action.sa_handler = &count_interrupt;  // no SA_RESTART: a blocked read of the terminal must end
  sigaction(SIGINT, nullptr, &before_);
  if (before_.sa_handler != SIG_IGN) {
    sigaction(SIGINT, &action, nullptr);
  }
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &before_, nullptr);
}

int InterruptGuard::count() {
  return interrupts;
}

void InterruptGuard::reset() {
  interrupts = 0;
}

void HangWatch::look(const LanguageModel& model, const std::function<void()>& before_exit) {
  constexpr int kMostLooks = 100;
  const Status health = model.health();
  if (health.code() == StatusCode::kDevice && ++failed_looks_ >= kMostLooks) {
    if (before_exit) {
      before_exit();
    }
    std::_Exit(fail(health));
  }
}

void Collector::on_delta(GenerationDelta delta) {
  if (on_delta_) {
    on_delta_(delta);
  }
  const std::lock_guard lock(mutex_);
  choice_.add(std::move(delta));
}

void Collector::on_done(const GenerationUsage& usage) {
  {
    const std::lock_guard lock(mutex_);
    usage_ = usage;
    ended_ = true;
  }
  ended_cv_.notify_all();
}

void Collector::on_error(const Status& status) {
  {
    const std::lock_guard lock(mutex_);
    status_ = status;
    ended_ = true;
  }
  ended_cv_.notify_all();
}

Status Collector::wait(const std::function<void()>& poll) {
  constexpr auto kPoll = std::chrono::milliseconds(50);
  std::unique_lock lock(mutex_);
  while (!ended_cv_.wait_for(lock, kPoll, [this] { return ended_; })) {
    if (poll) {
      lock.unlock();
      poll();
      lock.lock();
    }
  }
  return status_;
}

}  // namespace tutti
