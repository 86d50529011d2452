#include "supervise/replica.h"

#include <algorithm>

#include <fmt/format.h>

namespace tutti {

namespace {

using State = ReplicaState;

}  // namespace

const char* state_name(ReplicaState state) {
  switch (state) {
    case State::kPending:
      return "pending";
    case State::kPlanning:
      return "planning";
    case State::kLoading:
      return "loading";
    case State::kWarming:
      return "warming";
    case State::kReady:
      return "ready";
    case State::kDraining:
      return "draining";
    case State::kFailed:
      return "failed";
    case State::kGone:
      break;
  }
  return "gone";
}

Replica::Replica(ReplicaTimes times, RestartRules rules, Clock::time_point now)
    : times_(times), rules_(rules), since_(now), start_at_(now) {}

void Replica::enter(State state, Clock::time_point now) {
  state_ = state;
  since_ = now;
}

void Replica::set_time_out(std::chrono::seconds time, Clock::time_point now) {
  time_out_ = now + time;
}

Replica::Action Replica::next(Clock::time_point now) {
  if (!running_) {
    if (state_ == State::kPending && now >= start_at_) {
      start_at_ = Clock::time_point::max();  // once
      return Action::kStart;
    }
    return Action::kNone;
  }
  if (stopping_ && !terminated_ && !killed_) {
    terminated_ = true;
    set_time_out(times_.draining, now);
    return Action::kTerminate;
  }
  if (now < time_out_) {
    return Action::kNone;
  }
  // A process that does not go away even then is told again: that costs nothing.
  if (!killed_ && !stopping_) {
    stuck_ = fmt::format("{} took longer than {} s",
                         state_ == State::kReady ? "a sign of life" : state_name(state_),
                         std::chrono::duration_cast<std::chrono::seconds>(now - since_).count());
  }
  killed_ = true;
  set_time_out(times_.killing, now);
  return Action::kKill;
}

Replica::Clock::time_point Replica::next_time() const {
  if (!running_) {
    return state_ == State::kPending ? start_at_ : Clock::time_point::max();
  }
  return stopping_ && !terminated_ && !killed_ ? Clock::time_point::min() : time_out_;
}

void Replica::started(Clock::time_point now) {
  running_ = true;
  terminated_ = false;
  killed_ = false;
  stuck_.clear();
  farewell_.reset();
  done_bytes_ = 0;
  total_bytes_ = 0;
  if (!stopping_) {
    enter(State::kPlanning, now);
    set_time_out(times_.planning, now);
  }
}

void Replica::reported(const EngineReport& report, Clock::time_point now) {
  using Kind = EngineReport::Kind;
  if (report.kind == Kind::kRefused || report.kind == Kind::kFailed) {
    farewell_ = report;
  }
  if (!running_ || stopping_ || killed_) {
    return;  // too late to matter
  }
  switch (report.kind) {
    case Kind::kPlanning:
      return;
    case Kind::kLoading: {
      const bool progress =
          state_ != State::kLoading || report.done_bytes > done_bytes_ || total_bytes_ == 0;
      done_bytes_ = report.done_bytes;
      total_bytes_ = report.total_bytes;
      if (state_ != State::kLoading) {
        enter(State::kLoading, now);
      }
      if (progress) {
        set_time_out(times_.loading, now);
      }
      return;
    }
    case Kind::kWarming:
      if (state_ == State::kWarming) {
        return;
      }
      enter(State::kWarming, now);
      set_time_out(times_.warming, now);
      return;
    case Kind::kReady:
      max_context_ = report.max_context;
      created_unix_ = report.created_unix;
      description_ = report.description;
      last_error_ = ok_status();
      enter(State::kReady, now);
      set_time_out(times_.alive, now);
      return;
    case Kind::kAlive:
      if (state_ == State::kReady) {
        set_time_out(times_.alive, now);
      }
      return;
    case Kind::kRefused:
    case Kind::kFailed:
      // It takes no more requests, and ends by itself soon.
      enter(State::kDraining, now);
      set_time_out(times_.draining, now);
      return;
  }
}

void Replica::ended(const ExitCause& cause, Clock::time_point now) {
  running_ = false;
  time_out_ = Clock::time_point::max();
  if (stopping_) {
    enter(State::kGone, now);
    return;
  }
  if (farewell_ && farewell_->kind == EngineReport::Kind::kRefused) {
    last_error_ = farewell_->error;
    enter(State::kFailed, now);
    return;
  }
  if (farewell_) {
    crashed(farewell_->error, now);
    return;
  }
  std::string what = fmt::format("the engine's process ended with {}", cause.text());
  if (!stuck_.empty()) {
    what = fmt::format("the engine was killed: {}", stuck_);
  }
  crashed(Status(cause.out_of_memory ? StatusCode::kOutOfMemory : StatusCode::kUnavailable, what),
          now);
}

void Replica::not_started(const Status& why, Clock::time_point now) {
  running_ = false;
  if (stopping_) {
    enter(State::kGone, now);
    return;
  }
  crashed(why, now);
}

void Replica::crashed(Status why, Clock::time_point now) {
  last_error_ = std::move(why);
  ++crashes_;
  std::erase_if(recent_crashes_, [&](Clock::time_point t) { return t + rules_.window < now; });
  recent_crashes_.push_back(now);
  const auto count = static_cast<int>(recent_crashes_.size());
  if (count >= rules_.crashes) {
    last_error_ = Status(
        last_error_.code(),
        fmt::format("{}; {} times within {} s, and is not started again",
                    last_error_.message(),
                    count,
                    std::chrono::duration_cast<std::chrono::seconds>(now - recent_crashes_.front())
                        .count()));
    enter(State::kFailed, now);
    return;
  }
  std::chrono::milliseconds pause = rules_.first_pause;
  for (int i = 1; i < count && pause < rules_.longest_pause; ++i) {
    pause *= 2;
  }
  start_at_ = now + std::min(pause, rules_.longest_pause);
  enter(State::kPending, now);
}

void Replica::stop(Clock::time_point now) {
  if (stopping_) {
    return;
  }
  stopping_ = true;
  enter(running_ ? State::kDraining : State::kGone, now);
}

}  // namespace tutti
