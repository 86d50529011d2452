#include "supervise/supervisor.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "supervise/child_process.h"
#include "supervise/line_buffer.h"

namespace tutti {

namespace {

using Clock = Replica::Clock;

// How long a death can go unnoticed where the kernel has no pidfd_open().
constexpr std::chrono::milliseconds kLook{200};
constexpr size_t kReadSize = 16 << 10;

// Everything there is, or until `take` has had enough of a flood. False: the other end is closed.
template <class Take>
bool read_all(const Descriptor& descriptor, Take take) {
  constexpr int kMostReads = 64;
  std::array<char, kReadSize> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled
  for (int i = 0; i < kMostReads; ++i) {
    const ssize_t got = read(descriptor.get(), buffer.data(), buffer.size());
    if (got > 0) {
      take(std::string_view(buffer.data(), static_cast<size_t>(got)));
    } else if (got == 0) {
      return false;
    } else if (errno != EINTR) {
      return true;
    }
  }
  return true;
}

}  // namespace

struct Supervisor::Impl {
  /// One replica and, while there is one, its process.
  struct Entry {
    Entry(EngineSpec s, const SupervisorConfig& config, Clock::time_point now)
        : spec(std::move(s)), replica(config.times, config.rules, now) {}

    EngineSpec spec;
    Replica replica;
    std::optional<ChildProcess> child;
    Descriptor death;  // a pidfd
    bool log_open = false;
    bool reports_open = false;
    LineBuffer log_lines;
    LineBuffer report_lines;
    LogTail tail;
    std::vector<std::string> last_lines;  // of the process before
    std::string socket;
    int starts = 0;
    std::optional<int64_t> oom_kills;  // when it was started
    ReplicaState told = ReplicaState::kPending;
  };

  explicit Impl(SupervisorConfig c) : config(std::move(c)) {}

  SupervisorConfig config;
  Descriptor wake;
  std::thread thread;

  std::mutex mutable mutex;
  std::condition_variable all_gone;
  // Under the mutex; the thread alone changes entries, and so reads them without it.
  std::map<uint64_t, std::unique_ptr<Entry>> entries;
  std::vector<std::pair<uint64_t, EngineSpec>> to_launch;
  std::vector<uint64_t> to_stop;
  uint64_t last_id = 0;
  bool stop_all = false;
  bool end = false;

  void ring() const {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake.get(), &one, sizeof one);
  }

  void run();
  bool take_orders();
  bool drive();
  bool act(uint64_t id, Entry& entry, Replica::Action action);
  void start(uint64_t id, Entry& entry);
  void listen();
  bool listen_to(Entry& entry);
  bool read_log(Entry& entry);
  void read_reports(Entry& entry);
  void take_lines(Entry& entry, std::vector<std::string> lines);
  bool reap(Entry& entry);
  void tell(Entry& entry) const;
  int poll_timeout() const;
  bool must_wait(const Entry& entry) const;
  ReplicaView view(uint64_t id, const Entry& entry) const;
};

bool Supervisor::Impl::take_orders() {
  const std::lock_guard lock(mutex);
  const auto now = Clock::now();
  const bool any = !to_launch.empty() || !to_stop.empty() || stop_all;
  for (auto& [id, spec] : to_launch) {
    entries.emplace(id, std::make_unique<Entry>(std::move(spec), config, now));
  }
  to_launch.clear();
  for (const auto& [id, entry] : entries) {
    if (stop_all || std::find(to_stop.begin(), to_stop.end(), id) != to_stop.end()) {
      entry->replica.stop(now);
    }
  }
  to_stop.clear();
  return any;
}

// What the rules want done now, for every replica. True: something changed.
bool Supervisor::Impl::drive() {
  bool changed = false;
  std::vector<uint64_t> gone;
  for (const auto& [id, entry] : entries) {
    Replica::Action action = Replica::Action::kNone;
    if (must_wait(*entry)) {
      continue;
    }
    do {
      {
        const std::lock_guard lock(mutex);
        action = entry->replica.next(Clock::now());
      }
      changed = act(id, *entry, action) || changed;
    } while (action != Replica::Action::kNone);
    if (entry->replica.state() != entry->told) {
      tell(*entry);
      entry->told = entry->replica.state();
      changed = true;
    }
    if (entry->replica.state() == ReplicaState::kGone) {
      gone.push_back(id);
    }
  }
  const std::lock_guard lock(mutex);
  for (const uint64_t id : gone) {
    entries.erase(id);
  }
  if (entries.empty()) {
    all_gone.notify_all();
  }
  return changed || !gone.empty();
}

bool Supervisor::Impl::act(uint64_t id, Entry& entry, Replica::Action action) {
  switch (action) {
    case Replica::Action::kNone:
      return false;
    case Replica::Action::kStart:
      start(id, entry);
      return true;
    case Replica::Action::kTerminate:
    case Replica::Action::kKill:
      if (entry.child) {
        entry.child->signal(action == Replica::Action::kKill ? SIGKILL : SIGTERM);
      }
      return true;
  }
  return false;
}

void Supervisor::Impl::start(uint64_t id, Entry& entry) {
  const std::string socket =
      join_path(config.socket_directory, fmt::format("{}-{}.sock", id, ++entry.starts));
  Result<ChildProcess> child =
      ChildProcess::start({.program = config.program,
                           .arguments = config.arguments(entry.spec, socket),
                           .environment = config.environment});
  const std::lock_guard lock(mutex);
  const auto now = Clock::now();
  entry.tail.clear();
  if (!child.ok()) {
    entry.last_lines.clear();
    entry.replica.not_started(child.status(), now);
    return;
  }
  entry.child.emplace(std::move(child).value());
  // Not through glibc: <sys/pidfd.h> of its version 2.36 cannot be used from C++.
  entry.death = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, entry.child->pid(), 0)));
  entry.log_open = true;
  entry.reports_open = true;
  entry.log_lines = LineBuffer();
  entry.report_lines = LineBuffer();
  entry.socket = socket;
  entry.oom_kills = kernel_oom_kills();
  entry.replica.started(now);
}

void Supervisor::Impl::take_lines(Entry& entry, std::vector<std::string> lines) {
  for (const std::string& line : lines) {
    config.on_line(entry.spec, line);
  }
  const std::lock_guard lock(mutex);
  for (std::string& line : lines) {
    entry.tail.add(std::move(line));
  }
}

bool Supervisor::Impl::read_log(Entry& entry) {
  return read_all(entry.child->log(),
                  [&](std::string_view bytes) { take_lines(entry, entry.log_lines.feed(bytes)); });
}

void Supervisor::Impl::read_reports(Entry& entry) {
  const bool open = read_all(entry.child->reports(), [&](std::string_view bytes) {
    for (const std::string& line : entry.report_lines.feed(bytes)) {
      if (const auto report = parse_report(line)) {
        const std::lock_guard lock(mutex);
        entry.replica.reported(*report, Clock::now());
      }
    }
  });
  entry.reports_open = entry.reports_open && open;
}

// True: its process has ended.
bool Supervisor::Impl::reap(Entry& entry) {
  if (!entry.child) {
    return false;
  }
  const std::optional<int> status = entry.child->reap();
  if (!status) {
    return false;
  }
  read_reports(entry);  // its last words
  read_log(entry);
  if (std::string rest = entry.log_lines.rest(); !rest.empty()) {
    take_lines(entry, {std::move(rest)});
  }
  unlink(entry.socket.c_str());
  const ExitCause cause =
      exit_cause(*status, entry.oom_kills, kernel_oom_kills(), entry.replica.killed());
  const std::lock_guard lock(mutex);
  entry.last_lines = entry.tail.lines();
  entry.child.reset();
  entry.death.close();
  entry.socket.clear();
  entry.replica.ended(cause, Clock::now());
  return true;
}

bool Supervisor::Impl::listen_to(Entry& entry) {
  if (!entry.child) {
    return false;
  }
  const ReplicaState before = entry.replica.state();
  const int64_t loaded = entry.replica.done_bytes();
  entry.log_open = entry.log_open && read_log(entry);
  if (entry.reports_open) {
    read_reports(entry);
  }
  return reap(entry) || entry.replica.state() != before || entry.replica.done_bytes() != loaded;
}

// For others to have taken their memory; a report of theirs wakes us.
bool Supervisor::Impl::must_wait(const Entry& entry) const {
  return config.one_by_one && entry.replica.state() == ReplicaState::kPending &&
         entry.told == ReplicaState::kPending &&
         std::any_of(entries.begin(), entries.end(), [](const auto& other) {
           return other.second->replica.state() == ReplicaState::kPlanning ||
                  other.second->replica.state() == ReplicaState::kLoading;
         });
}

int Supervisor::Impl::poll_timeout() const {
  auto first = Clock::time_point::max();
  bool blind = false;
  for (const auto& [id, entry] : entries) {
    if (!must_wait(*entry)) {
      first = std::min(first, entry->replica.next_time());
    }
    blind = blind || (entry->child && !entry->death.open());
  }
  const auto now = Clock::now();
  std::chrono::milliseconds wait{-1};
  if (first != Clock::time_point::max()) {
    wait = first <= now ? std::chrono::milliseconds(0)
                        : std::chrono::ceil<std::chrono::milliseconds>(
                              std::min<Clock::duration>(first - now, std::chrono::hours(1)));
  }
  if (blind && (wait.count() < 0 || wait > kLook)) {
    wait = kLook;
  }
  return static_cast<int>(wait.count());
}

void Supervisor::Impl::listen() {
  std::vector<pollfd> waited{{.fd = wake.get(), .events = POLLIN, .revents = 0}};
  for (const auto& [id, entry] : entries) {
    if (entry->child) {
      for (const auto& [open, fd] : {std::pair(entry->log_open, entry->child->log().get()),
                                     std::pair(entry->reports_open, entry->child->reports().get()),
                                     std::pair(entry->death.open(), entry->death.get())}) {
        if (open) {
          waited.push_back({.fd = fd, .events = POLLIN, .revents = 0});
        }
      }
    }
  }
  (void)poll(waited.data(), waited.size(), poll_timeout());
  uint64_t rings = 0;
  [[maybe_unused]] const ssize_t got = read(wake.get(), &rings, sizeof rings);
}

void Supervisor::Impl::run() {
  bool changed = false;
  while (true) {
    changed = take_orders() || changed;
    for (const auto& [id, entry] : entries) {
      changed = listen_to(*entry) || changed;
    }
    changed = drive() || changed;
    if (std::exchange(changed, false) && config.on_change) {
      config.on_change();
    }
    {
      const std::lock_guard lock(mutex);
      if (end) {
        return;
      }
    }
    listen();
  }
}

// One line for the operator at every turn that matters.
void Supervisor::Impl::tell(Entry& entry) const {
  const Replica& replica = entry.replica;
  const Status& why = replica.last_error();
  switch (replica.state()) {
    case ReplicaState::kPending:
      if (!why.ok()) {
        log_error("{}: {}; starting it again in {:.1f} s",
                  entry.spec.model,
                  why.message(),
                  std::chrono::duration<double>(replica.next_time() - Clock::now()).count());
      }
      break;
    case ReplicaState::kFailed:
      log_error("{}: {}", entry.spec.model, why.message());
      break;
    case ReplicaState::kReady:
      log_info("{}: ready, process {}", entry.spec.model, entry.child ? entry.child->pid() : 0);
      break;
    case ReplicaState::kGone:
      log_info("{}: ended", entry.spec.model);
      break;
    default:
      break;
  }
}

ReplicaView Supervisor::Impl::view(uint64_t id, const Entry& entry) const {
  const Replica& replica = entry.replica;
  return {.id = id,
          .model = entry.spec.model,
          .state = replica.state(),
          .since = replica.since(),
          .socket = entry.socket,
          .pid = entry.child ? entry.child->pid() : 0,
          .done_bytes = replica.done_bytes(),
          .total_bytes = replica.total_bytes(),
          .max_context = replica.max_context(),
          .created_unix = replica.created_unix(),
          .description = replica.description(),
          .crashes = replica.crashes(),
          .last_error = replica.last_error(),
          .last_lines = entry.last_lines};
}

Supervisor::Supervisor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Supervisor>> Supervisor::start(SupervisorConfig config) {
  auto impl = std::make_unique<Impl>(std::move(config));
  impl->wake = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl->wake.open()) {
    return error(StatusCode::kUnavailable, "cannot make an event descriptor; raise ulimit -n");
  }
  Impl* const raw = impl.get();
  impl->thread = std::thread([raw] { raw->run(); });
  return std::unique_ptr<Supervisor>(new Supervisor(std::move(impl)));
}

Supervisor::~Supervisor() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->end = true;
  }
  impl_->ring();
  impl_->thread.join();  // with it, by their parent-death signal, engines that are left
}

uint64_t Supervisor::launch(EngineSpec spec) {
  uint64_t id = 0;
  {
    const std::lock_guard lock(impl_->mutex);
    id = ++impl_->last_id;
    impl_->to_launch.emplace_back(id, std::move(spec));
  }
  impl_->ring();
  return id;
}

void Supervisor::stop(uint64_t id) {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->to_stop.push_back(id);
  }
  impl_->ring();
}

std::vector<ReplicaView> Supervisor::replicas() const {
  const std::lock_guard lock(impl_->mutex);
  std::vector<ReplicaView> views;
  for (const auto& [id, entry] : impl_->entries) {
    views.push_back(impl_->view(id, *entry));
  }
  for (const auto& [id, spec] : impl_->to_launch) {
    views.push_back({.id = id, .model = spec.model, .since = Clock::now()});
  }
  return views;
}

std::vector<std::string> Supervisor::log(uint64_t id) const {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->entries.find(id);
  if (found == impl_->entries.end()) {
    return {};
  }
  const Impl::Entry& entry = *found->second;
  return entry.child ? entry.tail.lines() : entry.last_lines;
}

void Supervisor::shut_down() {
  std::unique_lock lock(impl_->mutex);
  impl_->stop_all = true;
  impl_->ring();
  const auto longest = impl_->config.times.draining + 2 * impl_->config.times.killing;
  impl_->all_gone.wait_for(
      lock, longest, [this] { return impl_->entries.empty() && impl_->to_launch.empty(); });
}

}  // namespace tutti
