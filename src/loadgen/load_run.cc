#include "loadgen/load_run.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <sys/resource.h>

#include "loadgen/connection.h"
#include "loadgen/process_stats.h"

namespace tutti::loadgen {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::chrono::milliseconds kTick{100};  // how late time-outs and stop() act
constexpr const char* kStopped = "stopped";
constexpr uint64_t kArrivalStream = uint64_t{1} << 63;

Clock::duration seconds(double s) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
}

double milliseconds(Clock::duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

// Connections, and some for the program itself.
Status raise_descriptor_limit(int64_t connections) {
  const auto wanted = static_cast<rlim_t>(connections + 64);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= wanted) {
    return ok_status();
  }
  limit.rlim_cur = std::min(limit.rlim_max, std::max(wanted, limit.rlim_cur));
  if (limit.rlim_cur < wanted || setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return invalid(
        "‹concurrency› {} needs {} file descriptors, this process may open {}; raise the limit "
        "(ulimit -Hn) or lower ‹concurrency›",
        connections,
        wanted,
        limit.rlim_max);
  }
  return ok_status();
}

/// What the threads of a run share.
struct Shared {
  const Target& target;
  const RequestMaker& requests;
  const LoadOptions options;
  const Slo slo;
  ChunkObserver* observer;
  http::Endpoint endpoint;
  Clock::time_point begin;
  std::atomic<int64_t> next{0};  // closed loop: the next request's number
  std::atomic<bool> stop{false};
  std::atomic<int64_t> completed{0};
  std::atomic<int64_t> failed{0};
  std::atomic<int64_t> running{0};
  std::atomic<int64_t> peak{0};
  std::atomic<int> threads_left{0};

  bool may_start() const {
    return !stop && (options.duration_seconds <= 0 ||
                     Clock::now() < begin + seconds(options.duration_seconds));
  }

  int64_t limit() const { return options.requests > 0 ? options.requests : INT64_MAX; }
};

/// One thread with its connections.
class Worker final : public Connection::Owner {
 public:
  Worker(Shared& shared, int id)
      : shared_(shared),
        id_(id),
        state_{.target = shared.target,
               .endpoint = shared.endpoint,
               .stream = shared.requests.options().stream,
               .observer = shared.observer,
               .gaps_ms = {},
               .chunks_by_second = {},
               .begin = shared.begin,
               .chunks = &chunks_,
               .reader = {},
               .buffer = {}},
        arrivals_(shared.requests.options().seed, kArrivalStream) {}

  void run() {
    schedule_next();
    tick();
    io_.run();
    --shared_.threads_left;
  }

  void on_end(Connection& connection, const Outcome& outcome) override;

  int64_t chunks() const { return chunks_.load(std::memory_order_relaxed); }

  LoadResult result;
  Clock::time_point first_start = Clock::time_point::max();
  Clock::time_point last_end = Clock::time_point::min();

  const ThreadState& state() const { return state_; }

 private:
  bool closed_loop() const { return !shared_.options.rate.has_value(); }

  void schedule_next();
  bool next_arrival();
  void on_due();
  void begin_arrival(int64_t index);
  void send(Connection& connection, int64_t index);
  void send_next(Connection& connection);
  void record(const Outcome& outcome);
  void tick();
  void leave_if_idle();

  Shared& shared_;
  const int id_;
  ThreadState state_;
  asio::io_context io_{1};
  asio::steady_timer due_timer_{io_};
  asio::steady_timer tick_timer_{io_};
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> idle_;
  std::deque<int64_t> backlog_;  // arrivals that wait for a free connection
  std::atomic<int64_t> chunks_{0};
  Random arrivals_;
  int64_t arrival_ = -1;   // the last one: a connection's (closed loop) or a request's number
  double arrival_at_ = 0;  // seconds after begin
  bool arrivals_done_ = false;
  int64_t active_ = 0;
  int64_t bound_ = 0;  // connections of this thread
};

// Every thread walks the same sequence of arrivals and takes every threads-th.
bool Worker::next_arrival() {
  const LoadOptions& o = shared_.options;
  do {
    ++arrival_;
    if (closed_loop()) {
      if (arrival_ >= std::min(o.concurrency, shared_.limit())) {
        return false;
      }
      arrival_at_ =
          o.ramp_up_seconds * static_cast<double>(arrival_) / static_cast<double>(o.concurrency);
    } else {
      arrival_at_ += arrivals_.exponential(*o.rate);
      if (arrival_ >= shared_.limit() ||
          (o.duration_seconds > 0 && arrival_at_ > o.duration_seconds)) {
        return false;
      }
    }
  } while (arrival_ % o.threads != id_);
  return true;
}

void Worker::schedule_next() {
  while (next_arrival()) {
    const auto due = shared_.begin + seconds(arrival_at_);
    if (due > Clock::now()) {
      due_timer_.expires_at(due);
      due_timer_.async_wait([this](const error_code& ec) {
        if (!ec) {
          on_due();
        }
      });
      return;
    }
    begin_arrival(arrival_);
  }
  arrivals_done_ = true;
  leave_if_idle();
}

void Worker::on_due() {
  if (shared_.stop) {
    arrivals_done_ = true;
    leave_if_idle();
    return;
  }
  begin_arrival(arrival_);
  schedule_next();
}

void Worker::begin_arrival(int64_t index) {
  const int64_t bound = shared_.options.concurrency;
  if (idle_.empty() &&
      (closed_loop() || bound == 0 ||
       static_cast<int64_t>(connections_.size()) <
           (bound + shared_.options.threads - 1 - id_) / shared_.options.threads)) {
    connections_.push_back(std::make_unique<Connection>(io_, state_, *this));
    idle_.push_back(connections_.back().get());
  }
  if (!closed_loop()) {
    backlog_.push_back(index);
  }
  if (!idle_.empty()) {
    Connection& connection = *idle_.back();
    idle_.pop_back();
    send_next(connection);
  }
}

// Closed loop: the next number, whoever takes it; else the oldest arrival that waits.
void Worker::send_next(Connection& connection) {
  if (closed_loop()) {
    const int64_t index = shared_.may_start() ? shared_.next.fetch_add(1) : INT64_MAX;
    if (index < shared_.limit()) {
      send(connection, index);
    }
    return;
  }
  if (backlog_.empty() || !shared_.may_start()) {
    backlog_.clear();
    idle_.push_back(&connection);
    return;
  }
  const int64_t index = backlog_.front();
  backlog_.pop_front();
  send(connection, index);
}

void Worker::send(Connection& connection, int64_t index) {
  ++active_;
  const int64_t running = shared_.running.fetch_add(1) + 1;
  int64_t peak = shared_.peak.load();
  while (running > peak && !shared_.peak.compare_exchange_weak(peak, running)) {
  }
  connection.start(index, shared_.requests.make(index));
}

void Worker::on_end(Connection& connection, const Outcome& outcome) {
  --shared_.running;
  record(outcome);
  // Not from here: a chain of requests that fail at once must not become a recursion.
  asio::post(io_, [this, &connection] {
    --active_;
    send_next(connection);
    leave_if_idle();
  });
}

void Worker::record(const Outcome& o) {
  first_start = std::min(first_start, o.started);
  last_end = std::max(last_end, o.ended);
  if (o.failure == kStopped) {
    return;
  }
  if (!o.failure.empty()) {
    ++shared_.failed;
    ++result.failed;
    ErrorCount& error = result.errors[o.failure];
    if (error.count++ == 0) {
      error.example = o.detail;
    }
    return;
  }
  ++shared_.completed;
  ++result.completed;
  const int64_t output = o.completion_tokens.value_or(o.chunks);
  result.without_usage += o.completion_tokens ? 0 : 1;
  result.chunks += o.chunks;
  result.output_tokens += output;
  result.input_tokens += o.prompt_tokens.value_or(o.prompt_length);
  result.cached_tokens += o.cached_tokens.value_or(0);
  const double e2el = milliseconds(o.ended - o.started);
  result.e2el_ms.push_back(static_cast<float>(e2el));
  bool good = !shared_.slo.e2el_ms || e2el <= *shared_.slo.e2el_ms;
  if (o.chunks > 0) {
    const double ttft = milliseconds(o.first_text - o.started);
    result.ttft_ms.push_back(static_cast<float>(ttft));
    good = good && (!shared_.slo.ttft_ms || ttft <= *shared_.slo.ttft_ms);
    if (output > 1) {
      const double tpot =
          milliseconds(o.last_text - o.first_text) / static_cast<double>(output - 1);
      result.tpot_ms.push_back(static_cast<float>(tpot));
      good = good && (!shared_.slo.tpot_ms || tpot <= *shared_.slo.tpot_ms);
    }
  }
  result.good += good ? 1 : 0;
}

void Worker::tick() {
  tick_timer_.expires_after(kTick);
  tick_timer_.async_wait([this](const error_code& ec) {
    if (ec) {
      return;
    }
    const auto oldest = Clock::now() - seconds(shared_.options.timeout_seconds);
    for (const auto& connection : connections_) {
      if (shared_.stop) {
        connection->abort(kStopped);
      } else if (connection->busy() && connection->started() < oldest) {
        connection->abort("timeout");
      }
    }
    if (shared_.stop) {
      due_timer_.cancel();
      arrivals_done_ = true;
      backlog_.clear();
    }
    leave_if_idle();
    tick();
  });
}

void Worker::leave_if_idle() {
  if (arrivals_done_ && active_ == 0 && backlog_.empty()) {
    io_.stop();
  }
}

}  // namespace

Result<Slo> Slo::parse(const std::string& text) {
  Slo out;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    const size_t colon = std::min(item.find(':'), item.size());
    const std::string_view name = item.substr(0, colon);
    const std::string_view digits = item.substr(std::min(item.size(), colon + 1));
    double value = 0;
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    auto* field = name == "ttft"                    ? &out.ttft_ms
                  : name == "tpot"                  ? &out.tpot_ms
                  : name == "e2el" || name == "e2e" ? &out.e2el_ms
                                                    : nullptr;
    if (field == nullptr || ec != std::errc() || end != digits.data() + digits.size() ||
        !(value > 0)) {
      return invalid("‹slo› {}: wanted milliseconds such as ttft:500,tpot:50,e2el:20000", text);
    }
    *field = value;
  }
  return out;
}

struct LoadRun::Impl {
  Impl(const Target& target,
       const RequestMaker& requests,
       const LoadOptions& options,
       const Slo& slo,
       ChunkObserver* observer)
      : shared{.target = target,
               .requests = requests,
               .options = options,
               .slo = slo,
               .observer = observer,
               .endpoint = {},
               .begin = {}} {}

  Shared shared;
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::thread> threads;
  double cpu_before = 0;
};

LoadRun::LoadRun(const Target& target,
                 const RequestMaker& requests,
                 const LoadOptions& options,
                 const Slo& slo,
                 ChunkObserver* observer)
    : impl_(std::make_unique<Impl>(target, requests, options, slo, observer)) {}

LoadRun::~LoadRun() {
  stop();
  for (std::thread& thread : impl_->threads) {
    if (thread.joinable()) {
      thread.join();
    }
  }
}

Status LoadRun::start() {
  Shared& shared = impl_->shared;
  TUTTI_RETURN_IF_ERROR(raise_descriptor_limit(shared.options.concurrency));
  TUTTI_TRY(shared.endpoint, find_endpoint(shared.target));
  shared.begin = Clock::now();
  shared.threads_left = shared.options.threads;
  impl_->cpu_before = own_cpu_seconds();
  for (int i = 0; i < shared.options.threads; ++i) {
    impl_->workers.push_back(std::make_unique<Worker>(shared, i));
  }
  for (const auto& worker : impl_->workers) {
    impl_->threads.emplace_back([&worker = *worker] { worker.run(); });
  }
  return ok_status();
}

LoadProgress LoadRun::progress() const {
  const Shared& shared = impl_->shared;
  LoadProgress out{.completed = shared.completed,
                   .failed = shared.failed,
                   .running = shared.running,
                   .chunks = 0};
  for (const auto& worker : impl_->workers) {
    out.chunks += worker->chunks();
  }
  return out;
}

bool LoadRun::done() const {
  return impl_->shared.threads_left == 0;
}

void LoadRun::stop() {
  impl_->shared.stop = true;
}

LoadResult LoadRun::join() {
  for (std::thread& thread : impl_->threads) {
    thread.join();
  }
  LoadResult all;
  auto first = Clock::time_point::max();
  auto last = Clock::time_point::min();
  std::vector<int64_t> by_second;
  const auto append = [](std::vector<float>& into, const std::vector<float>& from) {
    into.insert(into.end(), from.begin(), from.end());
  };
  for (const auto& worker : impl_->workers) {
    const LoadResult& r = worker->result;
    all.completed += r.completed;
    all.failed += r.failed;
    all.good += r.good;
    all.input_tokens += r.input_tokens;
    all.cached_tokens += r.cached_tokens;
    all.output_tokens += r.output_tokens;
    all.chunks += r.chunks;
    all.without_usage += r.without_usage;
    for (const auto& [kind, error] : r.errors) {
      ErrorCount& sum = all.errors[kind];
      sum.example = sum.count == 0 ? error.example : sum.example;
      sum.count += error.count;
    }
    append(all.ttft_ms, r.ttft_ms);
    append(all.tpot_ms, r.tpot_ms);
    append(all.e2el_ms, r.e2el_ms);
    append(all.itl_ms, worker->state().gaps_ms);
    const std::vector<int64_t>& seconds = worker->state().chunks_by_second;
    by_second.resize(std::max(by_second.size(), seconds.size()));
    for (size_t i = 0; i < seconds.size(); ++i) {
      by_second[i] += seconds[i];
    }
    first = std::min(first, worker->first_start);
    last = std::max(last, worker->last_end);
  }
  all.seconds = last > first ? std::chrono::duration<double>(last - first).count() : 0.0;
  all.client_cpu_seconds = own_cpu_seconds() - impl_->cpu_before;
  all.peak_concurrent = impl_->shared.peak;
  all.peak_chunks_per_second =
      by_second.empty() ? 0 : *std::max_element(by_second.begin(), by_second.end());
  return all;
}

}  // namespace tutti::loadgen
